#pragma once

#include <optional>
#include <string>
#include <string_view>

#include <caf/expected.hpp>

#include "storage/engine.hpp"

/// The bytes of a stored record, the same for every engine:
///
///     format     1 byte, now 1
///     checksum   8 bytes, little-endian
///     record     the rest: protocol's `encode(byte_writer&, const record&)`
///
/// The checksum is XXH3 (64 bits) of the record's bytes, seeded with XXH3 of the key, which in turn
/// is seeded with partition, area and format. So it covers where the record belongs as well: one
/// that lies under another's key, by whatever mistake, is noticed like a flipped bit. LevelDB's
/// checksums alone do not do: they cover blocks, are made anew by each compaction, and say nothing
/// about what a compaction was given.
namespace kai {

inline constexpr uint8_t record_format = 1;

/// Appends the stored bytes of `x`.
void pack_record(std::string& out, partition_id partition, area where, std::string_view key,
                 const record& x);

/// The record whose bytes `stored` are; its values are slices of `stored`. errc::damaged when the
/// bytes are not what pack_record made for this place.
caf::expected<record> unpack_record(partition_id partition, area where, std::string_view key,
                                    const blob& stored);

/// encoded_digest of that record, whose checksum is not looked at; nullopt: it is damaged.
std::optional<uint64_t> packed_digest(std::string_view key, const blob& stored);

} // namespace kai
