#pragma once

#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "protocol/planner.hpp"

/// For the planner's tests: what a plan did, seen from outside.
namespace kai::planner_test {

inline member named(std::string name, std::string zone = {}) {
  member result;
  result.name = std::move(name);
  result.zone = std::move(zone);
  return result;
}

/// A cluster that members join and leave, with the rules checked from outside after each plan.
class cluster {
public:
  cluster(uint16_t replicas, size_t partitions, size_t pairs_max = 1'000'000)
      : replicas_(replicas), pairs_max_(pairs_max), lists_(partitions) {}

  void join(std::string zone = {}) {
    members_.push_back(named("n" + std::to_string(names_++), std::move(zone)));
    replan();
  }

  /// All at once, with one plan.
  template <class F>
  void join_all(size_t count, F zone) {
    for (size_t i = 0; i < count; ++i)
      members_.push_back(named("n" + std::to_string(names_++), zone()));
    replan();
  }

  void leave(size_t which) {
    members_.erase(members_.begin() + static_cast<ptrdiff_t>(which));
    for (auto& list : lists_)
      for (auto& m : list)
        m = m == which ? no_member : m > which && m != no_member ? m - 1 : m;
    replan();
  }

  void replan() {
    old_ = lists_;
    lists_ = plan(members_, replicas_, old_, pairs_max_);
  }

  const std::vector<member>& members() const { return members_; }
  const std::vector<replica_list>& lists() const { return lists_; }
  size_t k() const { return std::min<size_t>(replicas_, members_.size()); }

  /// The same members with other lists.
  cluster with_lists(std::vector<replica_list> lists) const {
    auto result = *this;
    result.lists_ = std::move(lists);
    return result;
  }

  bool had(size_t partition, member_index m) const {
    const auto& list = old_[partition];
    return std::find(list.begin(), list.end(), m) != list.end();
  }

  bool was_led_by(size_t partition, member_index m) const {
    return !old_[partition].empty() && old_[partition].front() == m;
  }

  std::vector<size_t> held(const std::vector<replica_list>& lists) const {
    std::vector<size_t> result(members_.size(), 0);
    for (const auto& list : lists)
      for (auto m : list)
        if (m != no_member)
          ++result[m];
    return result;
  }

  std::vector<size_t> led() const {
    std::vector<size_t> result(members_.size(), 0);
    for (const auto& list : lists_)
      ++result[list.front()];
    return result;
  }

  size_t moved() const {
    size_t result = 0;
    for (size_t p = 0; p < lists_.size(); ++p)
      for (auto m : lists_[p])
        result += had(p, m) ? 0 : 1;
    return result;
  }

  size_t leaders_changed() const {
    size_t result = 0;
    for (size_t p = 0; p < lists_.size(); ++p)
      result += was_led_by(p, lists_[p].front()) ? 0 : 1;
    return result;
  }

  /// Replicas that no plan without zones can leave where they are: lists want `k`, and members keep
  /// the mean at most, of which only some may round it up.
  size_t must_move() const {
    auto total = lists_.size() * k();
    auto each = total / members_.size();
    auto one_more = total % members_.size();
    size_t stay_by_member = 0;
    size_t above = 0;
    for (auto n : held(old_)) {
      stay_by_member += std::min(n, each);
      above += n > each ? 1 : 0;
    }
    stay_by_member += std::min(above, one_more);
    size_t stay_by_list = 0;
    for (const auto& list : old_)
      stay_by_list += std::min<size_t>(
          k(), list.size() - static_cast<size_t>(std::count(list.begin(), list.end(), no_member)));
    return total - std::min(stay_by_member, stay_by_list);
  }

  /// With zones: what members have to gain to come to the loads that they came to, and what zones
  /// had too much of.
  size_t must_move_with_zones() const {
    size_t gained = 0;
    auto before = held(old_);
    auto after = held(lists_);
    for (size_t m = 0; m < before.size(); ++m)
      gained += after[m] > before[m] ? after[m] - before[m] : 0;
    auto zones = zone_numbers();
    auto zone_count = static_cast<size_t>(*std::max_element(zones.begin(), zones.end())) + 1;
    size_t crowded = 0;
    for (const auto& list : old_) {
      std::vector<size_t> in_zone(zone_count, 0);
      for (auto m : list)
        if (m != no_member && in_zone[zones[m]]++ > 0 && zone_count >= k())
          ++crowded;
    }
    return gained + crowded;
  }

  /// Distinct members, and zones as even as their sizes allow. Empty: all is well.
  std::string what_is_wrong_with_lists() const {
    auto zones = zone_numbers();
    std::vector<size_t> zone_size(members_.size(), 0);
    for (auto z : zones)
      ++zone_size[z];
    for (const auto& list : lists_) {
      if (std::set<member_index>(list.begin(), list.end()).size() != k() || list.size() != k())
        return "a list without k distinct members";
      std::vector<size_t> in_zone(members_.size(), 0);
      for (auto m : list)
        if (m >= members_.size())
          return "a list with a member that there is not";
        else
          ++in_zone[zones[m]];
      auto most = *std::max_element(in_zone.begin(), in_zone.end());
      for (size_t z = 0; z < in_zone.size(); ++z)
        if (most > in_zone[z] + 1 && in_zone[z] < zone_size[z])
          return "replicas crowd in a zone with room in another";
    }
    return {};
  }

private:
  uint16_t replicas_;
  size_t pairs_max_;
  size_t names_ = 0;
  std::vector<member> members_;
  std::vector<replica_list> old_;
  std::vector<replica_list> lists_;

  /// Of each member the zone, numbered from 0.
  std::vector<size_t> zone_numbers() const {
    std::vector<size_t> result;
    std::map<std::string, size_t> known;
    size_t next = 0;
    for (const auto& x : members_) {
      auto key = x.zone.empty() ? "own " + x.name : x.zone;
      auto [at, is_new] = known.emplace(key, next);
      next += is_new ? 1 : 0;
      result.push_back(at->second);
    }
    return result;
  }
};

} // namespace kai::planner_test
