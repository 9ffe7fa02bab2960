#include "protocol/merkle.hpp"

#include <algorithm>
#include <bit>
#include <string>
#include <string_view>

#include "protocol/wire.hpp"

namespace kai {

namespace {

constexpr int leaf_bits = 8;
static_assert(merkle_tree::leaf_count == 1 << leaf_bits);

/// How many of a hash's top bits choose its partition.
int partition_bits(uint32_t partitions) { return std::countr_zero(partitions); }

} // namespace

void merkle_tree::change(uint64_t hash, uint32_t partitions, uint64_t before, uint64_t after) {
  leaves_[merkle_leaf(hash, partitions)] ^= before ^ after;
}

uint64_t merkle_tree::root() const { return merkle_root(leaves_); }

uint64_t merkle_root(std::span<const uint64_t> leaves) {
  if (std::all_of(leaves.begin(), leaves.end(), [](uint64_t x) { return x == 0; }))
    return 0;
  std::string bytes;
  bytes.reserve(8 * leaves.size());
  byte_writer out{bytes};
  for (auto x : leaves)
    out.u64(x);
  // 0 is taken.
  return std::max<uint64_t>(key_hash(bytes), 1);
}

uint16_t merkle_leaf(uint64_t hash, uint32_t partitions) {
  return static_cast<uint16_t>(hash << partition_bits(partitions) >> (64 - leaf_bits));
}

uint64_t first_hash_of(partition_id partition, uint16_t leaf, uint32_t partitions) {
  auto number = uint64_t{partition} << leaf_bits | leaf;
  return number << (64 - leaf_bits - partition_bits(partitions));
}

uint64_t last_hash_of(partition_id partition, uint16_t leaf, uint32_t partitions) {
  auto length = uint64_t{1} << (64 - leaf_bits - partition_bits(partitions));
  return first_hash_of(partition, leaf, partitions) + (length - 1);
}

} // namespace kai
