#include "test/sim/faults.hpp"

#include <algorithm>
#include <numeric>
#include <set>

#include "actors/vnode.hpp"
#include "test/support/virtual_time.hpp"

namespace kai::test {

namespace {

using namespace std::chrono_literals;

/// Longer than faults may leave anything to do: a comparison by timer, hints, a recovery.
constexpr std::chrono::seconds settle_max{60};

sim_options cluster_for(const fault_options& options) {
  std::mt19937_64 random{options.seed ^ 0xfa17};
  sim_options x;
  x.seed = options.seed;
  x.vnodes = 1 + static_cast<uint32_t>(random() % 2);
  auto& storage = x.node.storage;
  // What `never` loses is more than one node when halves fall apart.
  if (options.mode == fault_mode::one && random() % 3 == 0) {
    storage.engine = random() % 2 ? engine_kind::memory : engine_kind::leveldb;
    storage.sync = random() % 2 ? sync_mode::interval : sync_mode::never;
  } else {
    storage.engine = engine_kind::leveldb;
    storage.sync = sync_mode::always;
  }
  if (options.mode == fault_mode::one && random() % 3 == 0) {
    x.clock_offset_max = 5s;
    x.clock_drift_max_ppm = 1000;
  }
  if (random() % 4 == 0)
    x.delays.distance_max = 30ms;
  // Delete marks go while the history runs. Longer than one node is away; many at a time may be
  // away for longer than that, and the grace promises nothing then.
  if (options.mode == fault_mode::one && random() % 4 == 0)
    storage.grace = 4s;
  // By the seed itself: what others draw stays as it was.
  auto& cluster = x.node.cluster;
  auto with = [&](size_t nodes, uint16_t replicas, uint16_t reads, uint16_t writes) {
    x.nodes = nodes;
    cluster.replicas = replicas;
    cluster.read_quorum = reads;
    cluster.write_quorum = writes;
  };
  if (options.seed % 8 == 3)
    with(6, 4, 2, 3);
  else if (options.seed % 8 == 7)
    with(7, 5, 3, 3);
  return x;
}

/// What goes wrong, and how it ends. Keeps track of what is broken.
class nemesis {
public:
  nemesis(sim_cluster& cluster, workload& load)
      : cluster_(cluster), load_(load), random_(cluster.random()()) {}

  /// One node, in one of the ways in which one can fail.
  void strike_one() {
    auto victim = random(cluster_.size());
    victims_.insert(victim);
    switch (random(8)) {
    case 0: return crash(victim, false);
    case 1: return crash(victim, true);
    case 2:
      crash(victim, false);
      say("its disk is replaced");
      return cluster_.wipe(victim);
    case 3: return silence(victim, true, true);
    case 4: return silence(victim, true, false);
    case 5: return silence(victim, false, true);
    case 6: return cut_off(victim);
    default: return break_disk(victim);
    }
  }

  /// Whatever there is, on top of what is broken already; but three nodes stay up, and no disk is
  /// lost: more would be more than W-1 copies.
  void strike_many() {
    auto victim = random(cluster_.size());
    auto up = size_t{0};
    for (size_t i = 0; i < cluster_.size(); ++i)
      up += cluster_.is_up(i);
    switch (random(8)) {
    case 0:
    case 1:
      if (up > 3 && cluster_.is_up(victim))
        return crash(victim, random(2) == 0);
      return;
    case 2: return silence(victim, random(2) == 0, true);
    case 3: return halves();
    case 4: return bridge();
    case 5: return lossy();
    case 6: return break_disk(victim);
    default:
      if (!cluster_.is_up(victim))
        return restart(victim);
    }
  }

  /// Everything works again.
  void heal() {
    say("all is well again");
    for (size_t i = 0; i < cluster_.size(); ++i) {
      cluster_.disk(i).fail_writes(false);
      cluster_.disk(i).fail_syncs(false);
      for (size_t j = 0; j < cluster_.size(); ++j) {
        if (i == j)
          continue;
        cluster_.heal(i, j);
        cluster_.network().lose(i, j, 0);
        cluster_.network().resume(i, j);
      }
    }
    for (size_t i = 0; i < cluster_.size(); ++i)
      if (!cluster_.is_up(i))
        restart(i);
  }

  const std::string& story() const { return story_; }
  /// Of `strike_one`.
  const std::set<size_t>& victims() const { return victims_; }

private:
  uint64_t random(uint64_t below) { return random_() % below; }

  void say(const std::string& what) {
    auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(cluster_.elapsed()).count();
    story_ += "  " + std::to_string(ms) + " ms: " + what + "\n";
  }
  static std::string name(size_t i) { return "n" + std::to_string(i); }

  void crash(size_t i, bool torn) {
    say(name(i) + " crashes" + (torn ? ", its last writes torn" : ""));
    cluster_.crash(i, torn);
    load_.lose_node(i);
  }
  void restart(size_t i) {
    say(name(i) + " starts");
    cluster_.disk(i).fail_writes(false);
    cluster_.disk(i).fail_syncs(false);
    cluster_.restart(i);
  }
  void silence(size_t i, bool in, bool out) {
    say(name(i) + (in && out ? " hears and says nothing"
                   : in      ? " hears nothing"
                             : " says nothing"));
    for (size_t j = 0; j < cluster_.size(); ++j) {
      if (in && j != i)
        cluster_.network().pause(j, i);
      if (out && j != i)
        cluster_.network().pause(i, j);
    }
  }
  void cut_off(size_t i) {
    say(name(i) + " is cut off");
    for (size_t j = 0; j < cluster_.size(); ++j)
      if (j != i)
        cluster_.cut(i, j);
  }
  void break_disk(size_t i) {
    say("the disk of " + name(i) + " takes no more");
    if (random(2))
      cluster_.disk(i).fail_writes(true);
    else
      cluster_.disk(i).fail_syncs(true);
  }
  std::vector<size_t> shuffled() {
    std::vector<size_t> all(cluster_.size());
    std::iota(all.begin(), all.end(), size_t{0});
    std::shuffle(all.begin(), all.end(), random_);
    return all;
  }
  void halves() {
    auto all = shuffled();
    auto size = 1 + random(2);
    say("the network falls into two parts, the smaller one of " + std::to_string(size));
    for (size_t i = 0; i < size; ++i)
      for (size_t j = size; j < all.size(); ++j)
        cluster_.cut(all[i], all[j]);
  }
  void bridge() {
    auto all = shuffled();
    say("only " + name(all[4]) + " reaches both halves");
    for (size_t i : {0, 1})
      for (size_t j : {2, 3})
        cluster_.cut(all[i], all[j]);
  }
  void lossy() {
    say("messages get lost");
    for (size_t i = 0; i < cluster_.size(); ++i)
      for (size_t j = 0; j < cluster_.size(); ++j)
        if (i != j && random(2))
          cluster_.network().lose(i, j, 20);
  }

  sim_cluster& cluster_;
  workload& load_;
  std::mt19937_64 random_;
  std::string story_;
  std::set<size_t> victims_;
};

/// What is left to check of a key that one client set, and perhaps deleted later.
std::string check_own_key(const std::string& key, const key_history& history, size_t at_end) {
  auto written = false;
  auto deleted = false;
  for (auto& x : history) {
    auto answered = x.end == operation::ending::answered;
    if (x.what != operation::kind::write)
      continue;
    if (x.change.kind == mutation_kind::set)
      written = answered;
    else
      // NOT_FOUND: on its side of a cluster in two parts there was nothing yet.
      deleted = answered && x.result.kind == outcome_kind::deleted;
  }
  auto maybe_deleted = std::any_of(history.begin(), history.end(), [](auto& x) {
    return x.what == operation::kind::write && x.change.kind == mutation_kind::remove;
  });
  std::string problem;
  for (auto i = history.size() - at_end; i < history.size(); ++i) {
    auto& x = history[i];
    if (x.end != operation::ending::answered)
      problem += key + ": not read after the faults: " + to_string(x) + "\n";
    else if (deleted && x.seen)
      problem += key + ": came back from the dead: " + to_string(x) + "\n";
    else if (written && !maybe_deleted && !x.seen)
      problem += key + ": an acknowledged write was lost: " + to_string(x) + "\n";
  }
  return problem;
}

/// Reads and blind writes that failed though the node which was asked was well all the time.
std::string check_available(const std::string& key, const key_history& history,
                            const std::set<size_t>& victims) {
  std::string problem;
  for (auto& x : history)
    if ((x.what == operation::kind::read || always_writable(x.change)) &&
        !victims.contains(x.node) && x.end != operation::ending::answered)
      problem += "not available: " + key + " " + to_string(x) + "\n";
  return problem;
}

bool is_own(const std::string& key) { return key.find("own") != std::string::npos; }

std::string check(const workload& load, fault_mode mode, size_t nodes,
                  const std::set<size_t>& victims, size_t& undecided) {
  auto problem = check_answers(load);
  for (auto& [key, history] : load.histories()) {
    if (mode == fault_mode::one)
      problem += check_order(key, history, faults::yes, undecided) +
                 check_available(key, history, victims);
    else if (is_own(key))
      problem += check_own_key(key, history, nodes);
  }
  return problem;
}

std::string settle(sim_cluster& cluster) {
  // An engine finds out that its disk is mended when it is next flushed.
  cluster.run_for(2 * limits::flush_interval);
  if (!cluster.run_until([&] { return cluster.caught_up(); }, settle_max))
    return "some replicas still did not count towards R a minute after the faults\n";
  return {};
}

/// Whether everything that was kept for others has reached them.
bool no_hints(sim_cluster& cluster) {
  for (size_t i = 0; i < cluster.size(); ++i)
    for (auto& x : cluster.node(i).vnodes) {
      auto held = state_of<vnode_state>(x).hints.report();
      if (!held.exact || held.count() > 0)
        return false;
    }
  return true;
}

/// Equal replicas, and nothing left to bring to anybody, some time after the last fault.
std::string converge(sim_cluster& cluster, workload& load) {
  std::string differing;
  auto began = cluster.elapsed();
  do {
    cluster.run_for(1s);
    differing = no_hints(cluster) ? compare_replicas(cluster, load.keys()) : "hints are left\n";
  } while (!differing.empty() && cluster.elapsed() - began < settle_max);
  return differing;
}

std::string drive(sim_cluster& cluster, workload& load, nemesis& trouble, fault_mode mode,
                  size_t operations_each) {
  auto& random = cluster.random();
  auto strikes = 1 + random() % 3;
  for (size_t i = 0; i < strikes; ++i) {
    load.begin(std::max<size_t>(2, operations_each / strikes));
    cluster.run_for(std::chrono::milliseconds{random() % 200});
    if (mode == fault_mode::one) {
      trouble.strike_one();
      cluster.run_for(std::chrono::milliseconds{random() % 2000});
    } else {
      for (auto n = 1 + random() % 4; n > 0; --n) {
        trouble.strike_many();
        cluster.run_for(std::chrono::milliseconds{random() % 1000});
      }
    }
    trouble.heal();
    if (!load.finish())
      return "some requests were never answered\n";
    if (mode == fault_mode::one || i + 1 == strikes)
      if (auto problem = settle(cluster); !problem.empty())
        return problem;
  }
  if (auto problem = converge(cluster, load); !problem.empty())
    return problem;
  return load.read_everywhere() ? std::string{} : "some reads at the end were never answered\n";
}

} // namespace

simulation_result simulate_faults(const fault_options& options) {
  auto cluster = sim_cluster::founded(cluster_for(options));
  auto& random = cluster->random();
  workload_options what;
  what.clients = 2 + random() % 3;
  what.keys = 2 + random() % 3;
  what.pipeline = 1 + random() % 2;
  what.own_key_one_in = 4;
  what.pause_max = random() % 2 ? 10ms : 100ms;
  auto operations = options.operations ? options.operations : 60 + random() % 100;
  simulation_result result;
  {
    workload load{*cluster, what};
    nemesis trouble{*cluster, load};
    result.problem = drive(*cluster, load, trouble, options.mode,
                           std::max<size_t>(1, operations / what.clients));
    if (result.problem.empty())
      result.problem =
          check(load, options.mode, cluster->size(), trouble.victims(), result.undecided);
    count(result, *cluster, load);
    if (!result.problem.empty())
      result.problem += trouble.story();
    result.setting = "5 nodes, " + std::to_string(what.clients) + " clients, " +
                     std::to_string(what.keys) + " shared keys";
  }
  return result;
}

} // namespace kai::test
