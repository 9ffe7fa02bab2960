#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "protocol/topology.hpp"

namespace kai {

/// Where keys are, for the request path: a topology's orders of preference, computed once per epoch
/// and kept side by side, so that a lookup is a span of existing memory. Needs 2 bytes per
/// partition and member: 5 KiB for 256 partitions and 10 members.
///
/// Immutable, and does not refer to the topology it was made from; spans live as long as the ring.
class ring {
public:
  /// A ring without partitions: for a node that is not a member yet. Nothing may be looked up.
  ring() = default;

  /// `from` is valid.
  explicit ring(const topology& from);

  uint64_t epoch() const { return epoch_; }
  uint32_t partitions() const { return static_cast<uint32_t>(replicas_.size()); }

  partition_id partition_of(std::string_view key) const {
    return kai::partition_of(key_hash(key), partitions());
  }

  /// All members, as `topology::preference`: replicas, then fallbacks.
  std::span<const member_index> preference(partition_id partition) const {
    return {order_.data() + size_t{partition} * members_, members_};
  }

  /// The first of them: the partition's replicas.
  std::span<const member_index> replicas(partition_id partition) const {
    return preference(partition).first(replicas_[partition]);
  }

  /// The others: who stands in for a replica that is down, in this order.
  std::span<const member_index> fallbacks(partition_id partition) const {
    return preference(partition).subspan(replicas_[partition]);
  }

private:
  uint64_t epoch_ = 0;
  size_t members_ = 0;
  /// Per partition the number of replicas: one for all, but while members leave.
  std::vector<uint8_t> replicas_;
  /// Per partition `members_` indices.
  std::vector<member_index> order_;
};

} // namespace kai
