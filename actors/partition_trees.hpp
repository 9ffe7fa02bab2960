#pragma once

#include <optional>
#include <unordered_map>

#include <caf/expected.hpp>

#include "protocol/merkle.hpp"
#include "protocol/messages.hpp"
#include "storage/engine.hpp"

namespace kai {

/// The Merkle trees of a vnode's partitions, in memory. A tree is made from a scan when it is first
/// wanted, and follows every write from then on.
class partition_trees {
public:
  explicit partition_trees(uint32_t partitions = 1) : partitions_(partitions) {}

  uint32_t partitions() const { return partitions_; }
  bool has(partition_id partition) const { return trees_.count(partition) != 0; }

  /// Null: it was not made yet, or is forgotten.
  const merkle_tree* find(partition_id partition) const;

  /// Makes the partition's tree from what is stored. What waits to be written does not count: there
  /// must be none.
  caf::error make(engine& storage, partition_id partition);

  /// After a write of area::data: digests as kai::digest_of gives them.
  void change(partition_id partition, std::string_view key, uint64_t before, uint64_t after);

  /// What is stored is no longer what was written: nullopt is all partitions.
  void forget(std::optional<partition_id> partition);

private:
  uint32_t partitions_;
  std::unordered_map<partition_id, merkle_tree> trees_;
};

/// What a leaf is made of.
caf::expected<leaf_answer> read_leaf(engine& storage, partition_id partition, uint16_t leaf,
                                     uint32_t partitions, timestamp flushed);

} // namespace kai
