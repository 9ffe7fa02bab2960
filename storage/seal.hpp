#pragma once

#include <optional>
#include <string>
#include <string_view>

/// Small things on disk that are no records (counts, clock bound, votes, topology):
///
///     format     1 byte, now 1
///     checksum   8 bytes, little-endian: XXH3 of the value, seeded with XXH3 of its name
///     value      the rest
namespace kai {

std::string sealed(std::string_view name, std::string_view value);

/// The value; nullopt when the bytes are damaged or were sealed under another name.
std::optional<std::string> unsealed(std::string_view name, std::string_view bytes);

} // namespace kai
