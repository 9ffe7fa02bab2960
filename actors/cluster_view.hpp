#pragma once

#include <span>
#include <vector>

#include "actors/interfaces.hpp"

namespace kai {

/// What the request path knows of the cluster: who owns what, who is alive, how to reach them.
/// Immutable; a change is a new view, and a request keeps the one it started with.
struct cluster_view {
  topology topo;
  /// This node's index in topo.members.
  member_index self = 0;
  /// One per member; this node's own included.
  std::vector<peer_actor> peers;
  /// Whether the member's peer is connected.
  std::vector<bool> alive;
  /// Members that are not alive here, but perhaps for others: no other member has said that it does
  /// not reach them either. This node may be the one that is cut off, or has just started.
  std::vector<bool> unsure;
  /// N, R, W for the number of members there is.
  uint16_t replicas = 0;
  uint16_t read_quorum = 0;
  uint16_t write_quorum = 0;

  cluster_view(topology decided, member_index own_index);

  /// All members, in the partition's order of preference: `replicas` of them, then the fallbacks.
  std::span<const member_index> preference(partition_id partition) const {
    return {order_.data() + partition * topo.members.size(), topo.members.size()};
  }
  std::span<const member_index> replica_places(partition_id partition) const {
    return preference(partition).first(replicas);
  }
  /// Whether `x` holds the partition.
  bool owns(member_index x, partition_id partition) const;

private:
  std::vector<member_index> order_;
};

} // namespace kai
