#include <algorithm>
#include <map>
#include <random>
#include <set>
#include <string>
#include <vector>

#include <catch2/catch.hpp>

#include "protocol/topology_changes.hpp"

using namespace kai;

namespace {

/// A partition of a cluster whose members come and go, whose nodes learn of each epoch whenever
/// they do, and whose clients do the worst they can: a write that was acknowledged under any view
/// that any node still has must be seen by every read that any view allows from then on. The rules
/// of epochs, quorums and refusals are those of README.md, in the fewest words.
class moving_world {
public:
  explicit moving_world(uint64_t seed) : random_(seed) {
    cluster_settings settings;
    settings.replicas = static_cast<uint16_t>(1 + below(5));
    settings.read_quorum = settings.write_quorum = static_cast<uint16_t>(settings.replicas / 2 + 1);
    settings.partitions = 1;
    epochs_.push_back(found(1, settings, new_member()));
    learn(epochs_[0].members[0].name, 0);
  }

  std::string run(size_t steps) {
    for (size_t i = 0; i < steps && problem_.empty(); ++i)
      step();
    return problem_;
  }

  size_t acknowledged() const { return acknowledged_.size(); }
  size_t epochs() const { return epochs_.size(); }
  size_t put_in_force() const { return put_in_force_; }

private:
  struct node {
    /// Of the topology it knows.
    size_t epoch = 0;
    bool alive = true;
    std::set<int> writes;
    /// Of the lists for which it was found to have everything.
    uint64_t filled = 0;
  };

  size_t below(size_t n) { return random_() % n; }

  member new_member() {
    member x;
    x.name = "n" + std::to_string(next_member_++);
    x.cluster_address = x.name + ":1";
    x.id = next_member_;
    nodes_[x.name] = {};
    return x;
  }

  const topology& latest() const { return epochs_.back(); }

  /// At the latest when it is a member of its first.
  void learn(const std::string& name, size_t epoch) {
    auto& x = nodes_[name];
    if (x.alive)
      x.epoch = std::max(x.epoch, epoch);
  }

  bool agrees(const topology& view, member_index m) {
    auto& x = nodes_[view.members[m].name];
    return x.alive && epochs_[x.epoch].changed_at[0] == view.changed_at[0];
  }

  /// Those of the list that answer who asks under the view.
  std::vector<std::string> answering(const topology& view, const replica_list& list) {
    std::vector<std::string> result;
    for (auto m : list)
      if (agrees(view, m))
        result.push_back(view.members[m].name);
    std::shuffle(result.begin(), result.end(), random_);
    return result;
  }

  const topology* some_view() {
    std::vector<std::string> alive;
    for (auto& [name, x] : nodes_)
      if (x.alive && epochs_[x.epoch].find(name))
        alive.push_back(name);
    return alive.empty() ? nullptr : &epochs_[nodes_[alive[below(alive.size())]].epoch];
  }

  /// At exactly W of each list: the fewest.
  void write(bool whole) {
    auto view = some_view();
    if (!view)
      return;
    auto id = next_write_++;
    auto place = [&](const replica_list& list) {
      auto there = answering(*view, list);
      auto needed = view->settings.write_quorum_of(list.size());
      auto enough = there.size() >= needed;
      there.resize(whole ? std::min(needed, there.size()) : std::min<size_t>(1, there.size()));
      for (auto& name : there)
        nodes_[name].writes.insert(id);
      return enough && whole;
    };
    auto done = place(view->replicas[0]);
    if (auto target = view->target_of(0))
      done = place(*target) && done;
    if (done)
      acknowledged_.insert(id);
  }

  /// What R replicas in force show is brought to R of either list, and then counts as seen.
  void read() {
    auto view = some_view();
    if (!view)
      return;
    auto in_force = answering(*view, view->replicas[0]);
    auto needed = view->settings.read_quorum_of(view->replicas[0].size());
    auto target = view->target_of(0);
    auto to_come = target ? answering(*view, *target) : std::vector<std::string>{};
    auto needed_there = target ? view->settings.read_quorum_of(target->size()) : 0;
    if (in_force.size() < needed || to_come.size() < needed_there)
      return;
    in_force.resize(needed);
    to_come.resize(needed_there);
    std::set<int> seen;
    for (auto& name : in_force)
      seen.insert(nodes_[name].writes.begin(), nodes_[name].writes.end());
    for (auto list : {&in_force, &to_come})
      for (auto& name : *list)
        nodes_[name].writes.insert(seen.begin(), seen.end());
    acknowledged_.insert(seen.begin(), seen.end());
  }

  /// A member of the target takes over what enough of the list in force have, one after another.
  void fill() {
    auto view = some_view();
    auto target = view ? view->target_of(0) : nullptr;
    if (!target)
      return;
    auto m = (*target)[below(target->size())];
    if (!agrees(*view, m))
      return;
    auto& x = nodes_[view->members[m].name];
    auto sources = answering(*view, view->replicas[0]);
    auto is_source = std::find(sources.begin(), sources.end(), view->members[m].name);
    if (is_source != sources.end())
      std::swap(sources.front(), *is_source);
    auto needed = sources_needed(*view, 0);
    if (sources.size() < needed)
      return;
    sources.resize(needed);
    for (auto& name : sources)
      x.writes.insert(nodes_[name].writes.begin(), nodes_[name].writes.end());
    x.filled = view->changed_at[0];
  }

  void decide(topology next) {
    if (auto err = validate(next)) {
      problem_ = "an epoch is not valid: " + message_of(err);
      return;
    }
    if (next.epoch != latest().epoch + 1)
      problem_ = "an epoch was passed over";
    epochs_.push_back(std::move(next));
    for (auto& m : latest().members)
      if (m.state == member_state::arriving && nodes_[m.name].epoch == 0)
        learn(m.name, epochs_.size() - 1);
  }

  void put_filled_in_force() {
    std::vector<fill_report> reports;
    for (auto& m : latest().members) {
      auto& x = nodes_[m.name];
      auto& report = reports.emplace_back();
      report.alive = x.alive;
      report.epoch = latest().epoch;
      for (size_t i = 0; i < latest().members.size(); ++i)
        report.sees.push_back(static_cast<member_index>(i));
      if (x.alive && x.filled != 0)
        report.filled = {{0, x.filled}};
    }
    if (auto next = with_filled(latest(), reports)) {
      put_in_force_ += next->moves.size() < latest().moves.size();
      decide(std::move(*next));
    }
  }

  void change() {
    auto& now = latest();
    auto some = now.members[below(now.members.size())].name;
    std::vector<bool> alive;
    for (auto& m : now.members)
      alive.push_back(nodes_[m.name].alive);
    caf::expected<topology> next{caf::error{errc::refused}};
    switch (below(5)) {
    case 0:
      if (now.members.size() < 7)
        next = with_member(now, new_member());
      break;
    case 1: next = with_leaving(now, some, alive, below(4) == 0); break;
    case 2: next = with_changes_undone(now); break;
    default:
      // Dies, when it is one that may.
      alive[static_cast<size_t>(now.find(some) - now.members.data())] = false;
      next = with_removed(now, some, alive, false);
      if (next)
        nodes_[some].alive = false;
    }
    if (next)
      decide(std::move(*next));
  }

  void step() {
    switch (below(12)) {
    case 0:
      if (below(3) == 0)
        change();
      break;
    case 1:
    case 2: write(true); break;
    case 3: write(false); break;
    case 4: read(); break;
    case 5:
    case 6:
    case 7: fill(); break;
    case 8:
    case 9: put_filled_in_force(); break;
    default: {
      auto some = std::next(nodes_.begin(), static_cast<ptrdiff_t>(below(nodes_.size())));
      learn(some->first, epochs_.size() - 1 - below(std::min<size_t>(epochs_.size(), 3)));
    }
    }
    check();
  }

  /// Whether any view that is still in use lets a read miss something.
  void check() {
    for (auto& [name, x] : nodes_) {
      auto& view = epochs_[x.epoch];
      if (!x.alive || !view.find(name))
        continue;
      auto in_force = answering(view, view.replicas[0]);
      auto target = view.target_of(0);
      if (target && answering(view, *target).size() < view.settings.read_quorum_of(target->size()))
        continue;
      for (auto id : acknowledged_) {
        auto without = std::count_if(in_force.begin(), in_force.end(), [&](auto& other) {
          return nodes_[other].writes.count(id) == 0;
        });
        if (static_cast<size_t>(without) >= view.settings.read_quorum_of(view.replicas[0].size()))
          problem_ = "a read under epoch " + std::to_string(view.epoch) + " of " +
                     std::to_string(latest().epoch) + " may miss write " + std::to_string(id);
      }
    }
  }

  std::mt19937_64 random_;
  std::vector<topology> epochs_;
  std::map<std::string, node> nodes_;
  std::set<int> acknowledged_;
  std::string problem_;
  uint64_t next_member_ = 0;
  int next_write_ = 0;
  size_t put_in_force_ = 0;
};

} // namespace

TEST_CASE("no read of any view misses what was acknowledged under any other") {
  size_t acknowledged = 0;
  size_t epochs = 0;
  size_t put_in_force = 0;
  for (uint64_t seed = 0; seed < 2000; ++seed) {
    INFO("seed " << seed);
    moving_world world{seed};
    REQUIRE(world.run(300) == "");
    acknowledged += world.acknowledged();
    epochs += world.epochs();
    put_in_force += world.put_in_force();
  }
  // The histories are worth something.
  CHECK(acknowledged > 20'000);
  CHECK(epochs > 10'000);
  CHECK(put_in_force > 600);
}
