#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

/// Decimal numbers as memcached 1.6.18 reads them, in commands and in the values of counters: the
/// rules of strtoull(3), under which its clients have lived for twenty years.
namespace kai::memcache {

/// Leading white space, a sign, digits, and then the end, a NUL or white space with anything behind
/// it. Nothing above 64 bits. A negative number wraps around and counts if it then is below 2^63:
/// "-0" is 0 and "-18446744073709551615" is 1, "-1" is none.
std::optional<uint64_t> read_unsigned(std::string_view text);

/// The same with a sign: -2^63 to 2^63 - 1.
std::optional<int64_t> read_signed(std::string_view text);

} // namespace kai::memcache
