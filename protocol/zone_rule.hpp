#pragma once

#include <cstdint>
#include <vector>

#include "protocol/topology.hpp"

/// What zones mean for the planner: how many replicas of a partition a zone has, and how many
/// replicas every member then holds.
namespace kai {

using zone = std::vector<member_index>;

/// Members that hold `total` replicas together, each within one of their mean.
struct member_share {
  std::vector<member_index> members;
  int64_t total = 0;

  int64_t each() const { return total / std::ssize(members); }
  /// Members that hold one more than `each`.
  int64_t one_more() const { return total % std::ssize(members); }
};

/// How many replicas of a partition a zone has, as water fills vessels: a zone with fewer members
/// than `level` has one on each of its members; any other has `level` - 1 or `level`. With zones
/// enough the level is 1.
struct zone_rule {
  /// Members of zones that are smaller than the level.
  std::vector<member_index> in_every_list;
  /// The other zones.
  std::vector<zone> zones;
  int64_t level = 0;
  /// How many of `zones` have `level` replicas of a partition.
  int64_t zones_at_level = 0;
};

/// The members that do not leave, by zone. One without a zone is a zone of its own.
std::vector<zone> zones_of(const std::vector<member>& members);

/// `replicas` is at least 1 and at most the number of members in `zones`.
zone_rule rule_for(std::vector<zone> zones, int64_t replicas);

/// What each member of `rule.zones` holds: as even as the rule allows. A zone that is out of bounds
/// with its share is a `member_share` at the bound; the others are one `member_share` together.
std::vector<member_share> shares_of(const zone_rule& rule, int64_t partitions);

} // namespace kai
