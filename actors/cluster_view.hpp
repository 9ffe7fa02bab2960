#pragma once

#include <span>
#include <vector>

#include "actors/outbox.hpp"
#include "protocol/quorum.hpp"

namespace kai {

/// What the request path knows of the cluster: who owns what, who is alive, how to reach them.
/// Immutable; a change is a new view, and a request keeps the one it started with.
struct cluster_view {
  topology topo;
  /// This node's index in topo.members.
  member_index self = 0;
  /// One per member; this node's own included.
  std::vector<peer_actor> peers;
  /// What coordinators have for them.
  std::vector<outbox_ptr> outboxes;
  /// Whether the member's peer is connected.
  std::vector<bool> alive;
  /// Members that are not alive here, but perhaps for others: no other member has said that it does
  /// not reach them either. This node may be the one that is cut off, or has just started.
  std::vector<bool> unsure;

  cluster_view(topology decided, member_index own_index);

  /// All members, in the partition's order of preference: the replicas in force, those to come,
  /// then the fallbacks.
  std::span<const member_index> preference(partition_id partition) const {
    return {order_.data() + partition * topo.members.size(), topo.members.size()};
  }
  /// The replicas in force.
  std::span<const member_index> replicas(partition_id partition) const {
    return preference(partition).first(topo.replicas[partition].size());
  }
  /// These, then those to come.
  std::span<const member_index> replica_places(partition_id partition) const {
    return preference(partition).first(shapes_[partition].places);
  }
  bool moves(partition_id partition) const { return shapes_[partition].target != 0; }

  /// What an operation needs of `replica_places`.
  quorum_rule read_rule(partition_id partition) const;
  quorum_rule write_rule(partition_id partition) const;

  /// Whether `x` holds the partition, or is about to.
  bool owns(member_index x, partition_id partition) const;
  /// Whether `x` is about to hold the partition, and does not yet.
  bool is_newcomer(member_index x, partition_id partition) const;
  /// Whether the call was made by the same idea of who holds its partition, which must exist.
  bool agrees_with(const call& x) const { return x.changed_at == topo.changed_at[x.partition]; }

private:
  struct shape {
    uint8_t places = 0;
    uint8_t target_size = 0;
    uint32_t target = 0;
  };
  quorum_rule rule(partition_id partition,
                   size_t (cluster_settings::*quorum_of)(size_t) const) const;

  std::vector<member_index> order_;
  std::vector<shape> shapes_;
};

} // namespace kai
