#include "test/sim/simulation.hpp"

#include <algorithm>

#include <caf/send.hpp>
#include <caf/typed_event_based_actor.hpp>

#include "test/support/linearizability.hpp"

namespace kai::test {

namespace {

using replica_records = std::map<uint64_t, record>;

answer_batch_sink::behavior_type reader(answer_batch_sink::pointer, replica_records* found) {
  return {[=](answer_batch& xs) {
    for (auto& x : xs.answers)
      if (auto y = std::get_if<record_answer>(&x.what))
        (*found)[x.id] = y->value;
  }};
}

/// A cluster like those that are used, and now and then one at the edges.
sim_options cluster_for(const simulation_options& options) {
  std::mt19937_64 random{options.seed ^ 0x5eed};
  sim_options x;
  x.seed = options.seed;
  x.node.storage.engine = options.engine;
  x.vnodes = 1 + static_cast<uint32_t>(random() % 2);
  if (random() % 4 == 0)
    x.nodes = 1 + random() % 6;
  auto& cluster = x.node.cluster;
  if (random() % 4 == 0) {
    cluster.replicas = static_cast<uint16_t>(1 + random() % 5);
    cluster.read_quorum = static_cast<uint16_t>(1 + random() % cluster.replicas);
    cluster.write_quorum = static_cast<uint16_t>(cluster.replicas - cluster.read_quorum + 1);
  }
  if (random() % 4 == 0) {
    x.clock_offset_max = std::chrono::seconds{2};
    x.clock_drift_max_ppm = 1000;
  }
  switch (random() % 6) {
  case 0: // Nodes far from each other.
    x.delays.distance_max = std::chrono::milliseconds{30};
    break;
  case 1: // Everything at about the same time.
    x.delays.distance_max = x.delays.distance_min;
    x.delays.jitter_max = std::chrono::microseconds{2};
    x.delays.spike_every = 0;
    break;
  case 2: // Some messages much later than those sent after them.
    x.delays.spike_every = 8;
    x.delays.spike_max = std::chrono::milliseconds{60};
    break;
  default: break;
  }
  return x;
}

std::string check(const workload& load, bool read_quorums_meet) {
  std::string problem;
  for (auto& [key, history] : load.histories()) {
    auto verdict = read_quorums_meet ? check_linearizable(history) : check_regular(history);
    if (!verdict.legal)
      problem += key + ": no order of the operations explains the answers\n" + verdict.explanation;
  }
  problem += check_answers(load);
  for (auto& [key, history] : load.histories())
    for (auto& x : history)
      if (x.end != operation::ending::answered && !gave_way(x))
        problem += "failed without a fault: " + key + " " + to_string(x) + "\n";
  return problem;
}

/// The history itself; what went wrong on the way, if anything.
std::string drive(sim_cluster& cluster, workload& load, size_t operations_each) {
  auto phases = 1 + cluster.random()() % 3;
  for (size_t i = 0; i < phases; ++i) {
    if (!load.run(std::max<size_t>(1, operations_each / phases)))
      return "some requests were never answered\n";
    if (i + 1 < phases && cluster.random()() % 2 && !load.flush())
      return "flush_all failed\n";
  }
  if (!load.read_everywhere())
    return "some reads at the end were never answered\n";
  // Longer than any call's deadline: whatever is still on its way arrives.
  cluster.run_for(std::chrono::milliseconds{600});
  return compare_replicas(cluster, load.keys());
}

} // namespace

std::string compare_replicas(sim_cluster& cluster, const std::vector<std::string>& keys) {
  replica_records found;
  auto sink = cluster.system().spawn(reader, &found);
  auto reply_to = caf::actor_cast<caf::strong_actor_ptr>(sink);
  auto nodes = cluster.size();
  size_t first = 0;
  while (!cluster.is_up(first))
    ++first;
  auto view = cluster.node(first).loop->view;
  auto partition_at = [&](const std::string& key) {
    return partition_of(key_hash(key), view->topo.settings.partitions);
  };
  for (size_t k = 0; k < keys.size(); ++k)
    for (size_t n = 0; n < nodes; ++n) {
      if (!cluster.is_up(n))
        continue;
      auto& vnodes = cluster.node(n).vnodes;
      call x{k * nodes + n, partition_at(keys[k]), blob::copy_of(keys[k]), read_call{}};
      caf::anon_send(vnodes[x.partition % vnodes.size()], vnode_batch{{x}, reply_to});
    }
  cluster.run_idle();
  caf::anon_send_exit(sink, caf::exit_reason::user_shutdown);
  cluster.run_idle();
  std::string problem;
  for (size_t k = 0; k < keys.size(); ++k) {
    const record* one = nullptr;
    for (size_t n = 0; n < nodes; ++n) {
      if (!cluster.is_up(n))
        continue;
      auto i = found.find(k * nodes + n);
      auto name = keys[k] + " at n" + std::to_string(n) + ": ";
      if (i == found.end()) {
        problem += name + "the vnode did not answer\n";
        continue;
      }
      auto& topo = view->topo;
      auto index =
          static_cast<member_index>(topo.find("n" + std::to_string(n)) - topo.members.data());
      if (!view->owns(index, partition_at(keys[k]))) {
        if (!i->second.empty())
          problem += name + to_string(i->second) + ", but it is no replica\n";
      } else if (!one) {
        one = &i->second;
      } else if (*one != i->second) {
        problem +=
            name + to_string(i->second) + ", but another replica has " + to_string(*one) + "\n";
      }
    }
  }
  return problem;
}

bool gave_way(const operation& x) {
  return x.end == operation::ending::refused && x.reason == errc::contended &&
         x.what == operation::kind::write && conditional(x.change);
}

std::string check_answers(const workload& load) {
  std::string problem;
  if (load.slowest() > std::chrono::seconds{2})
    problem += "an answer took longer than 2 s: " + load.slowest_operation() + "\n";
  if (load.stray_answers() > 0)
    problem += "a request was answered twice\n";
  return problem;
}

std::string check_order(const std::string& key, const key_history& history, faults some,
                        size_t& undecided) {
  auto verdict = check_linearizable(history, some);
  undecided += verdict.undecided;
  return verdict.legal
             ? std::string{}
             : key + ": no order of the operations explains the answers\n" + verdict.explanation;
}

void count(simulation_result& result, sim_cluster& cluster, const workload& load) {
  for (auto& [key, history] : load.histories())
    result.operations += history.size();
  result.slowest = load.slowest();
  result.trace = cluster.trace() ^ load.trace();
  result.steps = cluster.steps();
  result.messages = cluster.network().messages();
  result.elapsed = cluster.elapsed();
}

simulation_result simulate(const simulation_options& options) {
  auto cluster = sim_cluster::founded(cluster_for(options));
  workload_options what;
  auto& random = cluster->random();
  what.clients = options.clients ? options.clients : 2 + random() % 5;
  what.flush_under_load = options.flush_under_load;
  what.keys = 2 + random() % 4;
  what.pipeline = 1 + random() % 3;
  if (random() % 3 == 0)
    what.pause_max = std::chrono::microseconds{200};
  auto operations = options.operations ? options.operations : 100 + random() % 100;
  simulation_result result;
  auto& view = *cluster->node(0).loop->view;
  auto in_all = view.replicas(0).size();
  auto read_quorum = view.topo.settings.read_quorum_of(in_all);
  auto read_quorums_meet = 2 * read_quorum > in_all;
  result.setting = std::to_string(cluster->size()) + " nodes, N=" + std::to_string(in_all) +
                   " R=" + std::to_string(read_quorum) +
                   " W=" + std::to_string(view.topo.settings.write_quorum_of(in_all)) + ", " +
                   std::to_string(what.clients) + " clients, " + std::to_string(what.keys) +
                   " keys";
  {
    workload load{*cluster, what};
    result.problem = drive(*cluster, load, std::max<size_t>(1, operations / what.clients));
    result.problem += check(load, read_quorums_meet);
    count(result, *cluster, load);
    for (auto& [key, history] : load.histories())
      result.gave_way +=
          static_cast<size_t>(std::count_if(history.begin(), history.end(), gave_way));
  }
  return result;
}

} // namespace kai::test
