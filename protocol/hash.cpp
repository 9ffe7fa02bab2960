#include "protocol/hash.hpp"

#include <bit>

#include <xxhash.h>

namespace kai {

uint64_t key_hash(std::string_view key) { return XXH3_64bits(key.data(), key.size()); }

partition_id partition_of(uint64_t hash, uint32_t partitions) {
  auto bits = std::countr_zero(partitions);
  return bits == 0 ? 0 : static_cast<partition_id>(hash >> (64 - bits));
}

} // namespace kai
