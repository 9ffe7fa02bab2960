#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "protocol/hash.hpp"

namespace kai {

/// What a partition holds, in digests: a Merkle tree of two levels. A leaf is a range of hashes and
/// the XOR of kai::digest_of of the records in it, so that a change needs no look at the others and
/// no order; the root is a hash of the leaves. Two replicas with equal roots hold the same, as far
/// as 64 bits can tell.
class merkle_tree {
public:
  static constexpr size_t leaf_count = 256;

  merkle_tree() : leaves_(leaf_count) {}

  /// The record of a key with this hash had the digest `before` and has `after` now; 0: none.
  void change(uint64_t hash, uint32_t partitions, uint64_t before, uint64_t after);

  const std::vector<uint64_t>& leaves() const { return leaves_; }
  uint64_t root() const;

private:
  std::vector<uint64_t> leaves_;
};

/// The root over these leaves; 0 for an empty partition.
uint64_t merkle_root(std::span<const uint64_t> leaves);

/// The leaf of its partition that a hash belongs to. `partitions`: of the cluster.
uint16_t merkle_leaf(uint64_t hash, uint32_t partitions);

/// Where in the hash space a leaf of a partition begins, and its last hash.
uint64_t first_hash_of(partition_id partition, uint16_t leaf, uint32_t partitions);
uint64_t last_hash_of(partition_id partition, uint16_t leaf, uint32_t partitions);

} // namespace kai
