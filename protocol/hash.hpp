#pragma once

#include <cstdint>
#include <string_view>

namespace kai {

/// A slice of the hash space: 0 to cluster.partitions - 1.
using partition_id = uint16_t;

/// XXH3, 64 bits: where a key lies on the ring. The same on every node, for ever.
uint64_t key_hash(std::string_view key);

/// `partitions` is a power of two; the hash's top bits choose.
partition_id partition_of(uint64_t hash, uint32_t partitions);

} // namespace kai
