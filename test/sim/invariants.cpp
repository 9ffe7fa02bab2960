#include "test/sim/invariants.hpp"

#include <algorithm>

#include "actors/vnode.hpp"
#include "protocol/topology_messages.hpp"
#include "test/support/virtual_time.hpp"

namespace kai::test {

namespace {

constexpr size_t steps_between_looks = 50;

/// Older ones are covered by the same nodes, as a rule.
constexpr size_t writes_watched = 8;

constexpr size_t problems_max = 5;

record held_by(node_core& node, const std::string& key, uint32_t partitions) {
  auto partition = partition_of(key_hash(key), partitions);
  auto& state = state_of<vnode_state>(node.vnodes[partition % node.vnodes.size()]);
  // Before its first message it has nothing.
  if (!state.storage)
    return {};
  auto found = state.storage->read(partition, area::data, key);
  return found && *found ? std::move(**found) : record{};
}

} // namespace

void invariants::look() {
  if (note_epochs() || ++steps_ % steps_between_looks == 0)
    check_all();
}

void invariants::acknowledged(const std::string& key, const operation& x) {
  if (x.end != operation::ending::answered || x.what != operation::kind::write ||
      !x.result.changes() || x.result.cas == 0)
    return;
  note_epochs();
  note_records(key);
  // The client knows when the value was written. What was written over since is not looked for, nor
  // what keeps the value, which may be on its way once more.
  dot written{0, UINT64_MAX};
  for (auto& node : nodes_)
    for (auto& v : node.has[key].versions)
      // Two nodes whose clocks are ahead come to the same clock values.
      if (value_clock(v) == x.result.cas >> cas_clock_shift &&
          (cas_unique(node.has[key]) == x.result.cas || cas_unique({{}, {v}}) == x.result.cas))
        written = std::min(written, v.written, latest_order{});
  if (written.node == 0)
    return;
  auto& all = acknowledged_[key];
  if (std::find(all.begin(), all.end(), written) == all.end())
    all.push_back(written);
  if (all.size() > writes_watched)
    all.erase(all.begin());
  for (auto& y : all)
    check(key, y);
}

void invariants::crashes(size_t node, const std::vector<std::string>& keys) {
  for (auto& key : keys)
    note_record(node, key);
}

void invariants::emptied(size_t node, bool lost) {
  nodes_[node].has.clear();
  disks_lost_ += lost;
}

/// True: some node knows another epoch than before.
bool invariants::note_epochs() {
  auto changed = false;
  for (size_t i = 0; i < nodes_.size(); ++i) {
    if (!cluster_.is_up(i) || !cluster_.node(i).loop->view)
      continue;
    auto& topo = cluster_.node(i).loop->view->topo;
    if (topo.epoch == nodes_[i].epoch)
      continue;
    nodes_[i].epoch = topo.epoch;
    changed = true;
    auto bytes = encode_blob(topo).str();
    if (auto& known = decided_.try_emplace(topo.epoch, bytes).first->second; known != bytes)
      problem_ += "two topologies of epoch " + std::to_string(topo.epoch) + ", one at n" +
                  std::to_string(i) + "\n";
    if (topo.epoch > newest_.epoch)
      newest_ = topo;
  }
  return changed;
}

void invariants::note_record(size_t node, const std::string& key) {
  if (!cluster_.is_up(node))
    return;
  // Of one that is being killed what is known stands: its vnodes have ended.
  if (cluster_.node(node).loop->view && !cluster_.node(node).vnodes.empty())
    nodes_[node].has[key] = held_by(cluster_.node(node), key, newest_.settings.partitions);
}

void invariants::note_records(const std::string& key) {
  for (size_t i = 0; i < nodes_.size(); ++i)
    note_record(i, key);
}

void invariants::check(const std::string& key, const dot& written) {
  ++checks_;
  auto& list = newest_.replicas[partition_of(key_hash(key), newest_.settings.partitions)];
  size_t holders = 0;
  size_t counted_on = 0;
  std::string who;
  for (auto m : list) {
    auto i = cluster_.index_of(newest_.members[m].name);
    auto holds = covers(nodes_[i].has[key].seen, written);
    holders += holds;
    counted_on += holds || (cluster_.is_up(i) && !nodes_[i].cut_off);
    who += " n" + std::to_string(i) + (holds ? "" : " (not)");
  }
  auto needed = newest_.settings.write_quorum_of(list.size());
  needed = std::min(needed - std::min(needed, disks_lost_), counted_on);
  if (holders < needed &&
      static_cast<size_t>(std::count(problem_.begin(), problem_.end(), '\n')) < problems_max)
    problem_ += key + ": " + std::to_string(holders) + " of " + std::to_string(needed) +
                " replicas of epoch " + std::to_string(newest_.epoch) +
                " hold what was acknowledged as " + to_string(written) + ":" + who + "\n";
}

void invariants::check_all() {
  for (auto& [key, all] : acknowledged_) {
    note_records(key);
    for (auto& written : all)
      check(key, written);
  }
}

} // namespace kai::test
