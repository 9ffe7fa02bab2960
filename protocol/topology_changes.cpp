#include "protocol/topology_changes.hpp"

#include <algorithm>

#include "protocol/planner.hpp"
#include "protocol/topology_rules.hpp"

namespace kai {

namespace {

/// The index of each member of `before` in `after`; `no_member` where it is gone.
std::vector<member_index> places_of(const std::vector<member>& before, const topology& after) {
  std::vector<member_index> result;
  for (const auto& x : before) {
    auto at = after.find(x.name);
    result.push_back(at ? static_cast<member_index>(at - after.members.data()) : no_member);
  }
  return result;
}

void remap(replica_list& list, const std::vector<member_index>& places) {
  for (auto& m : list)
    m = places[m];
}

/// Moves the indices of `next`, which has still the lists of `now`, to its own members.
void follow_members(const topology& now, topology& next) {
  auto places = places_of(now.members, next);
  for (auto& list : next.replicas)
    remap(list, places);
  for (auto& x : next.moves)
    remap(x.target, places);
}

/// Says where the lists of `next` are other than those of `now`, or name members with other data.
void stamp_changes(const topology& now, topology& next) {
  auto places = places_of(now.members, next);
  std::vector<bool> replaced(next.members.size());
  for (size_t i = 0; i < places.size(); ++i)
    if (places[i] != no_member)
      replaced[places[i]] = next.members[places[i]].id != now.members[i].id;
  for (size_t p = 0; p < next.replicas.size(); ++p) {
    auto partition = static_cast<partition_id>(p);
    auto before = now.replicas[p];
    remap(before, places);
    auto target_before = now.target_of(partition);
    auto target_then = target_before ? *target_before : replica_list{};
    remap(target_then, places);
    auto target = next.target_of(partition);
    auto holders = next.holders_of(partition);
    if (before != next.replicas[p] || target_then != (target ? *target : replica_list{}) ||
        std::any_of(holders.begin(), holders.end(), [&](auto m) { return replaced[m]; }))
      next.changed_at[p] = next.epoch;
  }
}

/// Plans anew from the lists in force: moves under way to elsewhere are given up.
void plan_moves(topology& next) {
  auto targets = plan(next.members, next.settings.replicas, next.replicas);
  next.moves.clear();
  for (size_t p = 0; p < targets.size(); ++p)
    if (targets[p] != next.replicas[p])
      next.moves.push_back({static_cast<partition_id>(p), std::move(targets[p])});
}

bool named_by_any(const topology& x, member_index m) {
  auto names = [m](const replica_list& list) {
    return std::find(list.begin(), list.end(), m) != list.end();
  };
  return std::any_of(x.replicas.begin(), x.replicas.end(), names) ||
         std::any_of(x.moves.begin(), x.moves.end(), [&](auto& y) { return names(y.target); });
}

/// Members on their way out that nothing names any more go, if `may_go` says so.
template <class MayGo>
void let_out(topology& next, MayGo may_go) {
  auto before = next;
  std::vector<bool> out(next.members.size());
  for (size_t m = 0; m < out.size(); ++m)
    out[m] = goes(next.members[m].state) && may_go(m) &&
             !named_by_any(next, static_cast<member_index>(m));
  std::erase_if(next.members, [&, m = size_t{0}](auto&) mutable { return out[m++]; });
  follow_members(before, next);
}

/// Joining members that nothing is on its way to have all they get.
void let_in(topology& next) {
  for (size_t m = 0; m < next.members.size(); ++m) {
    if (next.members[m].state != member_state::joining)
      continue;
    auto awaited = std::any_of(next.moves.begin(), next.moves.end(), [&](auto& x) {
      return std::find(x.target.begin(), x.target.end(), m) != x.target.end();
    });
    if (!awaited)
      next.members[m].state = member_state::up;
  }
}

/// Those that arrived and that all who live are connected to shall get their share. True: some.
bool let_arrive(const topology& now, topology& next, const std::vector<fill_report>& reports) {
  auto some = false;
  for (size_t m = 0; m < next.members.size(); ++m) {
    auto seen = std::all_of(reports.begin(), reports.end(), [&](auto& report) {
      return !report.alive ||
             (report.epoch == now.epoch &&
              std::find(report.sees.begin(), report.sees.end(), m) != report.sees.end());
    });
    if (next.members[m].state != member_state::arriving || !reports[m].alive || !seen)
      continue;
    next.members[m].state = member_state::joining;
    some = true;
  }
  return some;
}

topology finished(const topology& now, topology next) {
  stamp_changes(now, next);
  return next;
}

caf::error refused(std::string why) { return failure(errc::refused, std::move(why)); }

/// The index of a member that is to go out, or why it can not.
caf::expected<size_t> goer(const topology& now, const std::string& name) {
  auto found = now.find(name);
  if (!found)
    return refused("there is no member " + quoted(name));
  auto index = static_cast<size_t>(found - now.members.data());
  if (goes(found->state))
    return refused(quoted(name) + " is on its way out already");
  if (now.members.size() == 1)
    return refused(quoted(name) + " is the last member: a cluster needs one");
  if (staying(now) == 1 && stays(found->state))
    return refused("all members but " + quoted(name) + " are leaving");
  return index;
}

/// Replicas of the partition, in force, that are alive and not on their way out as dead.
size_t live_sources(const topology& x, size_t partition, const std::vector<bool>& alive) {
  auto& list = x.replicas[partition];
  return static_cast<size_t>(std::count_if(list.begin(), list.end(), [&](auto m) {
    return alive[m] && x.members[m].state != member_state::removed;
  }));
}

} // namespace

size_t staying(const topology& x) {
  return static_cast<size_t>(std::count_if(x.members.begin(), x.members.end(),
                                           [](const member& m) { return stays(m.state); }));
}

caf::error doubt_of(const topology& now, const std::string& name, const reachability& who) {
  auto found = now.find(name);
  auto others = std::count(who.alive.begin(), who.alive.end(), true) > 1;
  if (!found || !others || !who.unsure[static_cast<size_t>(found - now.members.data())])
    return caf::none;
  return refused("this node does not reach " + quoted(name) +
                 ", but no other member has said that it does not either: try again, or through "
                 "another node");
}

caf::error objection_to(const topology& now, const member& newcomer, const std::string& asked,
                        const reachability& who) {
  auto known = now.find(newcomer.name);
  if (!known)
    return caf::none;
  if (known->id == newcomer.id)
    return refused(quoted(known->name) + " is a member already");
  if (known->name == asked || who.alive[static_cast<size_t>(known - now.members.data())])
    return refused("a member named " + quoted(known->name) + " is alive");
  return doubt_of(now, known->name, who);
}

caf::expected<topology> with_member(const topology& now, member newcomer) {
  if (auto err = validate(now))
    return err;
  auto next = now;
  ++next.epoch;
  auto at = std::lower_bound(next.members.begin(), next.members.end(), newcomer.name,
                             [](const member& x, const auto& y) { return x.name < y; });
  auto replaces = at != next.members.end() && at->name == newcomer.name;
  newcomer.state = member_state::arriving;
  auto keeps_place = replaces && at->zone == newcomer.zone && !goes(at->state);
  if (replaces) {
    newcomer.state = goes(at->state) ? member_state::up : at->state;
    *at = std::move(newcomer);
  } else {
    next.members.insert(at, std::move(newcomer));
  }
  if (auto defect = defect_of(next.members); !defect.empty())
    return refused("this change of members is refused: " + defect);
  follow_members(now, next);
  if (replaces && !keeps_place)
    plan_moves(next);
  let_in(next);
  return finished(now, std::move(next));
}

caf::expected<topology> with_entry(const topology& now, const member& entry) {
  if (auto err = validate(now))
    return err;
  auto known = now.find(entry.name);
  if (!known || known->id != entry.id)
    return refused(quoted(entry.name) + " is no member any more");
  if (known->memcache_address == entry.memcache_address &&
      known->cluster_address == entry.cluster_address && known->zone == entry.zone)
    return refused("that is what is known of " + quoted(entry.name));
  auto next = now;
  ++next.epoch;
  for (auto& x : next.members)
    if (x.name == entry.name) {
      x.memcache_address = entry.memcache_address;
      x.cluster_address = entry.cluster_address;
      x.zone = entry.zone;
    } else if (x.cluster_address == entry.cluster_address) {
      x.cluster_address = known->cluster_address;
    }
  if (auto defect = defect_of(next.members); !defect.empty())
    return refused("this change of a member is refused: " + defect);
  if (known->zone != entry.zone && stays(known->state)) {
    plan_moves(next);
    let_in(next);
  }
  return finished(now, std::move(next));
}

caf::expected<topology> with_leaving(const topology& now, const std::string& name,
                                     const std::vector<bool>& alive, bool forced) {
  if (auto err = validate(now))
    return err;
  auto index = goer(now, name);
  if (!index)
    return index.error();
  if (!alive[*index])
    return refused(quoted(name) + " is down, and can not hand over what it has: start it first, or "
                                  "`remove` it, if it does not come back");
  auto left = staying(now) - stays(now.members[*index].state);
  if (left < now.settings.write_quorum && !forced)
    return refused("without " + quoted(name) + " there would be " + std::to_string(left) +
                   " members, and each key at fewer than W=" +
                   std::to_string(now.settings.write_quorum) + " replicas (--force does it)");
  auto next = now;
  ++next.epoch;
  next.members[*index].state = member_state::leaving;
  plan_moves(next);
  let_in(next);
  return finished(now, std::move(next));
}

caf::expected<topology> with_removed(const topology& now, const std::string& name,
                                     const std::vector<bool>& alive, bool forced) {
  if (auto err = validate(now))
    return err;
  auto found = now.find(name);
  auto going = found && goes(found->state);
  // A leaving member may die, and a removal turn out to need force.
  auto index = going && (found->state == member_state::leaving || forced)
                   ? caf::expected<size_t>{static_cast<size_t>(found - now.members.data())}
                   : goer(now, name);
  if (!index)
    return index.error();
  if (alive[*index])
    return refused(quoted(name) + " is alive and answers: `leave` lets it go without a loss");
  auto next = now;
  ++next.epoch;
  next.members[*index].state = member_state::removed;
  auto self = static_cast<member_index>(*index);
  size_t short_of = 0;
  for (size_t p = 0; p < next.replicas.size(); ++p) {
    auto& list = next.replicas[p];
    if (std::find(list.begin(), list.end(), self) == list.end())
      continue;
    auto needed = list.size() - next.settings.write_quorum_of(list.size()) + 1;
    short_of += live_sources(next, p, alive) < needed;
    if (forced)
      std::erase(list, self);
  }
  if (short_of > 0 && !forced)
    return refused("of " + std::to_string(short_of) +
                   " partitions too few other replicas are "
                   "alive: acknowledged writes may be at " +
                   quoted(name) + " only, and would be lost (--force does it all the same)");
  if (forced) {
    auto targets = plan(next.members, next.settings.replicas, next.replicas);
    for (size_t p = 0; p < targets.size(); ++p)
      if (next.replicas[p].empty())
        next.replicas[p] = targets[p];
  }
  plan_moves(next);
  let_in(next);
  // Nothing names it any more, and where most members are dead no later vote would let it out.
  if (forced)
    let_out(next, [&](size_t m) { return next.members[m].state == member_state::removed; });
  return finished(now, std::move(next));
}

caf::expected<topology> with_changes_undone(const topology& now) {
  if (auto err = validate(now))
    return err;
  if (at_rest(now))
    return refused("no change of members is under way");
  auto next = now;
  ++next.epoch;
  next.moves.clear();
  for (auto& x : next.members)
    x.state = x.state == member_state::joining || x.state == member_state::arriving
                  ? member_state::leaving
                  : member_state::up;
  if (staying(next) == 0)
    return refused("all members are joining: there is nobody to go back to");
  plan_moves(next);
  return finished(now, std::move(next));
}

size_t sources_needed(const topology& now, partition_id partition) {
  auto& list = now.replicas[partition];
  auto n = list.size();
  auto kept = static_cast<size_t>(std::count_if(list.begin(), list.end(), [&](auto m) {
    return now.members[m].state != member_state::removed;
  }));
  auto quorum = std::min(now.settings.read_quorum_of(n), now.settings.write_quorum_of(n));
  return std::min(kept, n - quorum + 1);
}

std::optional<topology> with_filled(const topology& now, const std::vector<fill_report>& reports) {
  auto fills = [&](member_index m, partition_id p) {
    auto& filled = reports[m].filled;
    return std::find(filled.begin(), filled.end(), std::pair{p, now.changed_at[p]}) != filled.end();
  };
  auto next = now;
  ++next.epoch;
  auto arrived = let_arrive(now, next, reports);
  std::erase_if(next.moves, [&](const partition_move& x) {
    size_t filled = 0;
    for (auto m : x.target) {
      auto full = reports[m].alive && fills(m, x.partition);
      if (reports[m].alive && !full)
        return false;
      filled += full;
    }
    if (filled < now.settings.write_quorum_of(x.target.size()))
      return false;
    next.replicas[x.partition] = x.target;
    return true;
  });
  if (arrived)
    plan_moves(next);
  let_in(next);
  // One that leaves may have hints that are one of W copies: that it is not seen says nothing of
  // them. One that was removed is given up.
  let_out(next, [&](size_t m) {
    return reports[m].alive ? reports[m].hints == 0
                            : next.members[m].state == member_state::removed;
  });
  if (next.members == now.members && next.moves.size() == now.moves.size())
    return std::nullopt;
  return finished(now, std::move(next));
}

bool at_rest(const topology& x) {
  return x.moves.empty() && std::all_of(x.members.begin(), x.members.end(), [](const member& m) {
           return m.state == member_state::up;
         });
}

std::string change_under_way(const topology& now) {
  std::string result;
  for (auto& x : now.members) {
    if (x.state == member_state::up)
      continue;
    auto what = x.state == member_state::joining || x.state == member_state::arriving
                    ? " is joining"
                : x.state == member_state::leaving ? " is leaving"
                                                   : " is being removed";
    result += (result.empty() ? "" : ", ") + x.name + what;
  }
  if (!now.moves.empty())
    result += (result.empty() ? "" : ": ") + std::to_string(now.moves.size()) +
              (now.moves.size() == 1 ? " partition is" : " partitions are") + " on their way";
  return result;
}

} // namespace kai
