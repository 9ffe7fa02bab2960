#include "apps/bench/units.hpp"

#include <charconv>
#include <cmath>

namespace kai::bench {

namespace {

constexpr uint64_t nanoseconds_max = uint64_t{1000} * 3600 * 1'000'000'000;

std::optional<uint64_t> times(uint64_t number, uint64_t factor, uint64_t max) {
  if (number > max / factor)
    return std::nullopt;
  return number * factor;
}

} // namespace

std::optional<uint64_t> parse_number(std::string_view text) {
  uint64_t result = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), result);
  if (error != std::errc{} || end != text.data() + text.size())
    return std::nullopt;
  return result;
}

std::optional<double> parse_fraction(std::string_view text) {
  double result = 0;
  auto [end, error] =
      std::from_chars(text.data(), text.data() + text.size(), result, std::chars_format::fixed);
  if (error != std::errc{} || end != text.data() + text.size() || !std::isfinite(result))
    return std::nullopt;
  return result;
}

std::optional<uint64_t> parse_bytes(std::string_view text) {
  uint64_t factor = 1;
  switch (text.empty() ? ' ' : text.back()) {
  case 'k': factor = uint64_t{1} << 10; break;
  case 'm': factor = uint64_t{1} << 20; break;
  case 'g': factor = uint64_t{1} << 30; break;
  default: break;
  }
  if (factor > 1)
    text.remove_suffix(1);
  auto number = parse_number(text);
  return number ? times(*number, factor, UINT64_MAX) : std::nullopt;
}

std::optional<std::chrono::nanoseconds> parse_duration(std::string_view text) {
  auto digits = text.find_first_not_of("0123456789");
  if (digits == std::string_view::npos)
    return std::nullopt;
  auto unit = text.substr(digits);
  uint64_t factor = 0;
  if (unit == "us")
    factor = 1'000;
  else if (unit == "ms")
    factor = 1'000'000;
  else if (unit == "s")
    factor = 1'000'000'000;
  else if (unit == "min")
    factor = uint64_t{60} * 1'000'000'000;
  else if (unit == "h")
    factor = uint64_t{3600} * 1'000'000'000;
  else
    return std::nullopt;
  auto number = parse_number(text.substr(0, digits));
  auto result = number ? times(*number, factor, nanoseconds_max) : std::nullopt;
  if (!result)
    return std::nullopt;
  return std::chrono::nanoseconds{static_cast<int64_t>(*result)};
}

} // namespace kai::bench
