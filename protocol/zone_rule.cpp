#include "protocol/zone_rule.hpp"

#include <algorithm>
#include <map>
#include <string>
#include <utility>

namespace kai {

namespace {

int64_t members_in(const std::vector<zone>& zones) {
  int64_t result = 0;
  for (const auto& x : zones)
    result += std::ssize(x);
  return result;
}

} // namespace

std::vector<zone> zones_of(const std::vector<member>& members) {
  std::vector<zone> result;
  std::map<std::string, size_t> named;
  for (size_t i = 0; i < members.size(); ++i) {
    const auto& x = members[i];
    if (!stays(x.state))
      continue;
    auto at = x.zone.empty() ? result.size() : named.emplace(x.zone, result.size()).first->second;
    if (at == result.size())
      result.emplace_back();
    result[at].push_back(static_cast<member_index>(i));
  }
  return result;
}

zone_rule rule_for(std::vector<zone> zones, int64_t replicas) {
  zone_rule result;
  for (int64_t filled = 0; filled < replicas;) {
    ++result.level;
    filled = 0;
    for (const auto& x : zones)
      filled += std::min(result.level, std::ssize(x));
  }
  result.zones_at_level = replicas;
  for (auto& x : zones) {
    if (std::ssize(x) < result.level) {
      result.in_every_list.insert(result.in_every_list.end(), x.begin(), x.end());
      result.zones_at_level -= std::ssize(x);
    } else {
      result.zones.push_back(std::move(x));
      result.zones_at_level -= result.level - 1;
    }
  }
  return result;
}

/// As a row of boxes with least and greatest widths fills a line: boxes out of bounds are settled
/// at the bound, that side first which is out by more in sum, until what is left over divides
/// evenly.
std::vector<member_share> shares_of(const zone_rule& rule, int64_t partitions) {
  std::vector<member_share> result;
  auto low = partitions * (rule.level - 1);
  auto high = partitions * rule.level;
  auto left = low * std::ssize(rule.zones) + partitions * rule.zones_at_level;
  auto open = rule.zones;
  while (!open.empty()) {
    // Both sides times the number of members, to stay in whole numbers.
    auto people = members_in(open);
    auto fair = [left](const zone& x) { return left * std::ssize(x); };
    int64_t out_by = 0;
    for (const auto& x : open)
      out_by += std::clamp(fair(x), low * people, high * people) - fair(x);
    auto settled = std::stable_partition(open.begin(), open.end(), [&](const zone& x) {
      return !(fair(x) < low * people && out_by >= 0) && !(fair(x) > high * people && out_by <= 0);
    });
    if (settled == open.end())
      break;
    auto total = left;
    for (auto x = settled; x != open.end(); ++x) {
      auto at = total * std::ssize(*x) < low * people ? low : high;
      left -= at;
      result.push_back({std::move(*x), at});
    }
    open.erase(settled, open.end());
  }
  if (open.empty())
    return result;
  member_share rest{{}, left};
  for (const auto& x : open)
    rest.members.insert(rest.members.end(), x.begin(), x.end());
  result.push_back(std::move(rest));
  return result;
}

} // namespace kai
