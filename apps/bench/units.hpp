#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string_view>

namespace kai::bench {

/// A whole decimal number without sign; nothing else around it.
std::optional<uint64_t> parse_number(std::string_view text);

/// A finite decimal fraction such as "0.8".
std::optional<double> parse_fraction(std::string_view text);

/// Bytes: a number and, optionally, `k`, `m` or `g`, as powers of 1024.
std::optional<uint64_t> parse_bytes(std::string_view text);

/// A number and one of `us ms s min h`; at most 1000 hours.
std::optional<std::chrono::nanoseconds> parse_duration(std::string_view text);

} // namespace kai::bench
