#include "actors/admin_changes.hpp"

#include <algorithm>
#include <map>
#include <set>

namespace kai {

namespace {

using json = nlohmann::ordered_json;

bool names(const replica_list& list, member_index m) {
  return std::find(list.begin(), list.end(), m) != list.end();
}

/// Where a partition is in the end.
const replica_list& last_list(const topology& x, size_t partition) {
  auto target = x.target_of(static_cast<partition_id>(partition));
  return target ? *target : x.replicas[partition];
}

/// A member without a zone is one of its own.
std::string zone_of(const member& x) { return x.zone.empty() ? "member " + x.name : x.zone; }

struct share {
  uint64_t replicas = 0;
  uint64_t leads = 0;
};

std::map<std::string, share> shares(const topology& x) {
  std::map<std::string, share> result;
  for (size_t p = 0; p < x.replicas.size(); ++p) {
    auto& list = last_list(x, p);
    for (auto m : list)
      ++result[x.members[m].name].replicas;
    ++result[x.members[list.front()].name].leads;
  }
  return result;
}

member unknown_node(const std::string& address) {
  member x;
  x.name = x.cluster_address = address;
  x.id = UINT64_MAX;
  return x;
}

} // namespace

caf::expected<topology> changed_by(const topology& now, const std::vector<std::string>& change,
                                   const std::vector<bool>& alive) {
  if (change[0] == "leave")
    return with_leaving(now, change[1], alive, false);
  if (change[0] == "remove")
    return with_removed(now, change[1], alive, false);
  auto next = with_member(now, unknown_node(change[1]));
  if (!next)
    return next;
  // What it is given once all have a connection to it.
  std::vector<fill_report> reports(next->members.size());
  for (auto& report : reports) {
    report.alive = true;
    report.epoch = next->epoch;
    for (size_t m = 0; m < reports.size(); ++m)
      report.sees.push_back(static_cast<member_index>(m));
  }
  auto planned = with_filled(*next, reports);
  return planned ? std::move(*planned) : std::move(*next);
}

namespace {

std::string zone_warning(const topology& x) {
  std::set<std::string> zones;
  for (auto& m : x.members)
    if (stays(m.state))
      zones.insert(zone_of(m));
  size_t crowded = 0;
  for (size_t p = 0; p < x.replicas.size(); ++p) {
    std::set<std::string> here;
    auto& list = last_list(x, p);
    for (auto m : list)
      here.insert(zone_of(x.members[m]));
    crowded += here.size() < list.size();
  }
  if (crowded == 0)
    return {};
  return "the replicas of " + std::to_string(crowded) + " partitions share a zone: there are " +
         std::to_string(zones.size()) + " zones for " + std::to_string(x.settings.replicas) +
         " replicas";
}

} // namespace

std::string copies_warning(const topology& x) {
  auto members = staying(x);
  if (members >= x.settings.replicas)
    return zone_warning(x);
  return "there are " + std::to_string(members) + " members for " +
         std::to_string(x.settings.replicas) + " replicas: each key is at " +
         std::to_string(members) + " only";
}

json plan_document(const topology& now, const topology& next, const holdings& held) {
  uint64_t moved = 0;
  for (auto& x : next.moves) {
    auto& before = next.replicas[x.partition];
    moved += static_cast<uint64_t>(
        std::count_if(x.target.begin(), x.target.end(), [&](auto m) { return !names(before, m); }));
  }
  auto share_of = [&](uint64_t all) { return held.replicas ? all * moved / held.replicas : 0; };
  auto before = shares(now);
  auto after = shares(next);
  json members = json::array();
  std::map<std::string, uint64_t> zones;
  for (auto& m : next.members) {
    members.push_back({{"name", m.name},
                       {"zone", m.zone},
                       {"partitions", before[m.name].replicas},
                       {"partitions_then", after[m.name].replicas},
                       {"leads_then", after[m.name].leads}});
    if (stays(m.state))
      zones[zone_of(m)] += after[m.name].replicas;
  }
  json warnings = json::array();
  if (auto count = staying(next); count < next.settings.replicas)
    warnings.push_back("there would be " + std::to_string(count) + " members for " +
                       std::to_string(next.settings.replicas) + " replicas");
  if (auto text = zone_warning(next); !text.empty())
    warnings.push_back(text);
  if (auto text = change_under_way(now); !text.empty())
    warnings.push_back("a change is under way already: " + text);
  json zone_list = json::array();
  for (auto& [name, replicas] : zones)
    zone_list.push_back({{"zone", name}, {"partitions_then", replicas}});
  return {{"partitions", moved},           {"keys", share_of(held.keys)},
          {"bytes", share_of(held.bytes)}, {"warnings", std::move(warnings)},
          {"members", std::move(members)}, {"zones", std::move(zone_list)}};
}

double arrivals::share(partition_id partition, uint64_t now) const {
  auto found = done.find(partition);
  if (found != done.end())
    return found->second;
  return epoch > now ? 1 : 0;
}

arrivals arrivals_in(const json& report) {
  arrivals result;
  try {
    for (auto& x : report.at("arriving"))
      result.done[x.at(0).get<partition_id>()] = std::clamp(x.at(1).get<double>(), 0.0, 1.0);
    result.epoch = report.at("arriving_epoch").get<uint64_t>();
    result.bytes_per_second = report.at("received_per_second").get<uint64_t>();
  } catch (const json::exception&) {
    // It is down, or not of this version.
  }
  return result;
}

namespace {

/// Calls `visit(move, newcomer, done)` for each place that is to be filled.
template <class Visit>
void each_arrival(const topology& now, const std::vector<arrivals>& reports, Visit visit) {
  for (auto& x : now.moves)
    for (auto m : x.target)
      if (!names(now.replicas[x.partition], m))
        visit(x, m, reports[m].share(x.partition, now.epoch));
}

} // namespace

json moves_document(const topology& now, const std::vector<arrivals>& reports) {
  json result = json::array();
  std::map<partition_id, size_t> named;
  each_arrival(now, reports, [&](const partition_move& x, member_index to, double done) {
    std::vector<member_index> leaving;
    auto& before = now.replicas[x.partition];
    std::copy_if(before.begin(), before.end(), std::back_inserter(leaving),
                 [&](auto m) { return !names(x.target, m); });
    auto i = named[x.partition]++;
    result.push_back({{"partition", x.partition},
                      {"from", i < leaving.size() ? json(now.members[leaving[i]].name) : json()},
                      {"to", now.members[to].name},
                      {"done", done}});
  });
  return result;
}

json progress_document(const topology& now, const std::vector<arrivals>& reports,
                       const change_progress& past, change_progress::duration time) {
  if (past.open() == 0)
    return nullptr;
  double shares = 0;
  each_arrival(now, reports, [&](auto&, auto, double done) { shares += done; });
  uint64_t bytes = 0;
  for (auto& x : reports)
    bytes += x.bytes_per_second;
  auto done = past.done(shares);
  auto left = past.remaining(done, time);
  auto seconds = [&] { return std::chrono::ceil<std::chrono::seconds>(*left).count(); };
  return {{"partitions", past.open()},
          {"done", done},
          {"bytes_per_second", bytes},
          {"remaining_seconds", left ? json(seconds()) : json()}};
}

} // namespace kai
