#include "test/sim/changes.hpp"

#include <algorithm>

#include <caf/event_based_actor.hpp>

#include "test/sim/invariants.hpp"

namespace kai::test {

namespace {

using namespace std::chrono_literals;

constexpr size_t nodes_max = 7;

/// Longer than changes may take: copies of a handful of keys, and recoveries.
constexpr std::chrono::seconds rest_max{120};

sim_options cluster_for(const change_options& options) {
  std::mt19937_64 random{options.seed ^ 0xc4a6e};
  sim_options x;
  x.seed = options.seed;
  x.nodes = nodes_max;
  x.founders = options.faults ? 3 + random() % 2 : 1 + random() % 4;
  x.vnodes = 1 + static_cast<uint32_t>(random() % 2);
  if (options.faults) {
    x.node.storage.engine = engine_kind::leveldb;
    x.node.storage.sync = sync_mode::always;
  } else if (random() % 4 == 0) {
    x.node.storage.engine = engine_kind::leveldb;
  }
  if (random() % 3 == 0)
    x.delays.distance_max = 30ms;
  return x;
}

/// Has the members change, and looks after those that go.
class changer {
public:
  changer(sim_cluster& cluster, workload& load, invariants& watch)
      : cluster_(cluster), load_(load), watch_(watch), random_(cluster.random()()) {}

  const std::string& story() const { return *story_; }

  void change() {
    switch (random(6)) {
    case 0:
    case 1:
      for (auto n = 1 + random(2); n > 0; --n)
        join();
      return;
    case 2:
    case 3: return order(change_order::kind::leave, some_member());
    case 4: return order(change_order::kind::undo, {});
    default:
      // Two at once, through different nodes.
      join();
      return order(change_order::kind::leave, some_member());
    }
  }

  /// One node fails, and comes back, or is given up, or replaced.
  void strike() {
    auto victim = some_index();
    if (!victim || lists_are_short())
      return;
    auto time = std::chrono::milliseconds{200 + random(2500)};
    if (random(3) == 0) {
      say(name(*victim) + " is cut off");
      watch_.cut_off(*victim, true);
      for (size_t j = 0; j < cluster_.size(); ++j)
        if (j != *victim)
          cluster_.cut(*victim, j);
      run_for(time);
      for (size_t j = 0; j < cluster_.size(); ++j)
        if (j != *victim)
          cluster_.heal(*victim, j);
      watch_.cut_off(*victim, false);
      return;
    }
    say(name(*victim) + " crashes");
    watch_.crashes(*victim, load_.keys());
    cluster_.crash(*victim);
    load_.lose_node(*victim);
    run_for(time);
    auto end = random(3);
    if (end == 0) {
      run_for(1500ms);
      order(change_order::kind::remove, name(*victim));
      // Where that is refused it comes back; where not, it is told that it is out, or goes on.
      run_for(std::chrono::milliseconds{random(3000)});
    } else if (end == 1) {
      say("its disk is replaced");
      cluster_.wipe(*victim);
      watch_.emptied(*victim, true);
    }
    auto other = some_index();
    if (cluster_.is_up(*victim) || !other)
      return;
    // Its process would say that its data is no member's any more, and end.
    if (!cluster_.node(*other).loop->view->topo.find(name(*victim)))
      return say(name(*victim) + " stays off: it is no member any more");
    say(name(*victim) + " starts");
    cluster_.restart(*victim);
    if (end == 1)
      replace_by_force(*victim);
  }

  /// Nodes that are no members any more end, as their processes would.
  void look_after() {
    watch_.look();
    epochs_.resize(cluster_.size());
    for (size_t i = 0; i < cluster_.size(); ++i)
      if (cluster_.is_up(i) && cluster_.node(i).context->epoch() != epochs_[i]) {
        epochs_[i] = cluster_.node(i).context->epoch();
        say("  " + name(i) + " knows epoch " + std::to_string(epochs_[i]));
      }
    out_since_.resize(cluster_.size());
    for (size_t i = 0; i < cluster_.size(); ++i) {
      auto& since = out_since_[i];
      if (!cluster_.is_up(i) || !cluster_.node(i).context->left) {
        since.reset();
      } else if (!since) {
        say(name(i) + " is out");
        since = cluster_.elapsed();
        load_.lose_node(i);
      } else if (cluster_.elapsed() - *since >= limits::out_after) {
        say(name(i) + " ends");
        cluster_.retire(i);
      }
    }
  }

  void run_for(caf::timespan time) {
    auto end = cluster_.elapsed() + time;
    cluster_.run_until(
        [&] {
          look_after();
          return cluster_.elapsed() >= end;
        },
        time + 1s);
  }

  /// Every change has ended, and every replica counts.
  bool rest() {
    auto rested = cluster_.run_until(
        [&] {
          look_after();
          for (size_t i = 0; i < cluster_.size(); ++i)
            if (cluster_.is_up(i) && !cluster_.node(i).context->left &&
                (!cluster_.serves(i) || !at_rest(cluster_.node(i).loop->view->topo)))
              return false;
          if (std::any_of(out_since_.begin(), out_since_.end(), [](auto& x) { return x; }))
            return false;
          return cluster_.caught_up();
        },
        rest_max);
    if (rested)
      watch_.rested();
    return rested;
  }

private:
  uint64_t random(uint64_t n) { return random_() % n; }
  static std::string name(size_t i) { return "n" + std::to_string(i); }
  void say(const std::string& what) {
    *story_ +=
        std::to_string(
            std::chrono::duration_cast<std::chrono::milliseconds>(cluster_.elapsed()).count()) +
        " ms: " + what + "\n";
  }

  /// Of two members the one that lost its disk, and so its votes, leaves no majority that could
  /// take it back. The operator says by force that its data is gone; then it joins as a new one.
  void replace_by_force(size_t i) {
    run_for(3s);
    auto other = some_index();
    if (other && !cluster_.serves(i) && cluster_.node(*other).loop->view->topo.members.size() == 2)
      order(change_order::kind::remove, name(i), true);
  }

  std::optional<size_t> some_index() {
    std::vector<size_t> serving;
    for (size_t i = 0; i < cluster_.size(); ++i)
      if (cluster_.serves(i))
        serving.push_back(i);
    if (serving.empty())
      return std::nullopt;
    return serving[random(serving.size())];
  }
  std::string some_member() {
    auto i = some_index();
    return i ? name(*i) : std::string{};
  }

  /// One failure might be too much for a key.
  bool lists_are_short() {
    auto i = some_index();
    if (!i)
      return true;
    auto& topo = cluster_.node(*i).loop->view->topo;
    return std::any_of(topo.replicas.begin(), topo.replicas.end(),
                       [](auto& x) { return x.size() < 3; });
  }

  void join() {
    std::vector<size_t> free;
    auto seed = some_index();
    for (size_t i = 0; seed && i < cluster_.size(); ++i)
      if (!cluster_.is_up(i) && !cluster_.node(*seed).loop->view->topo.find(name(i)))
        free.push_back(i);
    if (free.empty())
      return;
    auto i = free[random(free.size())];
    say(name(i) + " joins");
    cluster_.wipe(i);
    watch_.emptied(i, false);
    cluster_.restart(i);
  }

  /// Through any node, and without waiting for the answer.
  void order(change_order::kind what, const std::string& whom, bool forced = false) {
    auto through = some_index();
    if (!through)
      return;
    change_order x;
    x.what = what;
    x.name = whom;
    x.forced = forced;
    auto wish = what == change_order::kind::leave    ? whom + " is to leave"
                : what == change_order::kind::remove ? whom + " is to be removed"
                                                     : std::string{"all is to be as before"};
    say(wish + ", " + name(*through) + " is told");
    auto ask = [x, wish, story = story_](caf::event_based_actor* self, const topology_actor& to) {
      auto say = [=](const std::string& end) { *story += "  " + wish + ": " + end + "\n"; };
      self->request(to, limits::join_deadline, x)
          .then([=](uint64_t epoch) { say("epoch " + std::to_string(epoch)); },
                [=](const caf::error& err) { say(message_of(err)); });
    };
    cluster_.system().spawn(ask, cluster_.node(*through).topology);
  }

  sim_cluster& cluster_;
  workload& load_;
  invariants& watch_;
  std::mt19937_64 random_;
  std::vector<uint64_t> epochs_;
  /// Since when a node is no member any more, while it is still there.
  std::vector<std::optional<caf::timespan>> out_since_;
  /// Shared with who asks for changes, whose answers may come late.
  std::shared_ptr<std::string> story_ = std::make_shared<std::string>();
};

std::string check(const workload& load, bool failures, size_t& undecided) {
  auto problem = check_answers(load);
  for (auto& [key, history] : load.histories()) {
    problem += check_order(key, history, failures ? faults::yes : faults::no, undecided);
    for (auto& x : history)
      if (!failures && !x.failure.empty() && !gave_way(x))
        problem += "failed without a fault: " + key + " " + to_string(x) + "\n";
  }
  return problem;
}

std::string drive(sim_cluster& cluster, workload& load, changer& members,
                  const change_options& options, size_t operations_each) {
  auto& random = cluster.random();
  auto changes = 1 + random() % 4;
  for (size_t i = 0; i < changes; ++i) {
    load.begin(std::max<size_t>(2, operations_each / changes));
    members.run_for(std::chrono::milliseconds{random() % 100});
    members.change();
    members.run_for(std::chrono::milliseconds{random() % (random() % 2 ? 50 : 1500)});
    if (options.faults)
      members.strike();
    if (!load.finish([&] { members.look_after(); }))
      return "some requests were never answered\n";
    // The next change comes in the middle of this one, now and then.
    if ((options.faults || random() % 2) && !members.rest())
      return "the members did not come to rest\n";
  }
  if (!members.rest())
    return "the members did not come to rest\n";
  std::string differing;
  auto began = cluster.elapsed();
  do {
    // A change whose vote took long may only begin now.
    members.run_for(1s);
    differing = compare_replicas(cluster, load.keys());
  } while (!differing.empty() && cluster.elapsed() - began < rest_max);
  if (!differing.empty())
    return differing;
  return load.read_everywhere() ? std::string{} : "some reads at the end were never answered\n";
}

} // namespace

simulation_result simulate_changes(const change_options& options) {
  auto cluster = sim_cluster::founded(cluster_for(options));
  auto& random = cluster->random();
  workload_options what;
  what.clients = 2 + random() % 3;
  what.keys = 2 + random() % 3;
  what.pipeline = 1 + random() % 3;
  what.pause_max = random() % 3 == 0 ? 3ms : random() % 2 ? 20ms : 100ms;
  auto operations = options.operations ? options.operations : 60 + random() % 120;
  simulation_result result;
  {
    invariants watch{*cluster};
    what.on_answer = [&watch](auto& key, auto& x) { watch.acknowledged(key, x); };
    workload load{*cluster, what};
    changer members{*cluster, load, watch};
    result.problem =
        drive(*cluster, load, members, options, std::max<size_t>(1, operations / what.clients));
    result.problem += watch.problem() + check(load, options.faults, result.undecided);
    count(result, *cluster, load);
    if (!result.problem.empty())
      result.problem += members.story();
    result.setting =
        std::to_string(what.clients) + " clients, " + std::to_string(what.keys) + " keys";
  }
  return result;
}

} // namespace kai::test
