#include "protocol/ring.hpp"

#include <algorithm>

namespace kai {

/// From the last partition to the first: the order of a partition is its own list and then the
/// order of the next partition, without those that the list has already.
ring::ring(const topology& from) : epoch_(from.epoch), members_(from.members.size()) {
  auto partitions = from.replicas.size();
  replicas_.reserve(partitions);
  for (const auto& list : from.replicas)
    replicas_.push_back(static_cast<uint8_t>(list.size()));
  order_.resize(partitions * members_);
  if (partitions == 0)
    return;
  auto last = from.preference(static_cast<partition_id>(partitions - 1));
  std::copy(last.begin(), last.end(), order_.end() - static_cast<ptrdiff_t>(members_));
  for (size_t p = partitions - 1; p-- > 0;) {
    const auto& list = from.replicas[p];
    auto to = order_.begin() + static_cast<ptrdiff_t>(p * members_);
    auto next = to + static_cast<ptrdiff_t>(members_);
    std::copy_if(
        next, next + static_cast<ptrdiff_t>(members_), std::copy(list.begin(), list.end(), to),
        [&](member_index m) { return std::find(list.begin(), list.end(), m) == list.end(); });
  }
}

} // namespace kai
