#pragma once

#include <vector>

#include "protocol/topology.hpp"

namespace kai {

/// In an old list: a replica whose member is gone from the cluster.
inline constexpr member_index no_member = 0xffff;

/// Who shall hold which partition: a pure function of members, zones and the old lists, with the
/// same result on every node. Members on their way out (kai::stays) are given nothing. With k the
/// smaller of `replicas` and the number of the other members:
///
/// - Every list has k distinct members.
/// - Zones come first (a member without a zone is a zone of its own). While there are k zones, the
///   replicas of a partition lie in k distinct ones. With fewer, they lie as evenly as the zones'
///   sizes allow: no zone has two more than another that has a member to spare.
/// - Balance comes second: every member holds the mean number of partitions, rounded up or down. A
///   zone that can not have its share of the replicas under the rule above, because it would have
///   to hold more (or less) of each partition than the rule allows, holds as many as it allows,
///   spread over its members within one; what remains is spread over all other members within one
///   of their mean.
/// - Leaders (the first of a list) third: every member leads the mean number of partitions, rounded
///   up or down, where the lists permit it. Where zones made lists that do not, the largest
///   distance from that is as small as the lists permit.
/// - Then, as few replicas move as these rules permit, and as few leaders change as they permit
///   for the lists that came of it: exactly so while there are at most `pairs_max` pairs of
///   partition and member. Above, to bound time and memory (some 100 MB), only some of the members
///   are considered for each partition; the other rules hold, and a few more replicas may move.
///
/// A list keeps its old order as far as possible. Which partitions move is spread over the ring.
///
/// `old` has one list per partition, with indices into `members`, or `no_member`. Empty lists:
/// nothing was placed yet. Ten milliseconds for 1,024 partitions and 100 members, half a second for
/// 32,768 and 1,024.
std::vector<replica_list> plan(const std::vector<member>& members, uint16_t replicas,
                               const std::vector<replica_list>& old,
                               size_t pairs_max = size_t{2} << 20);

} // namespace kai
