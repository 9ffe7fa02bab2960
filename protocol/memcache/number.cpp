#include "protocol/memcache/number.hpp"

#include <limits>

namespace kai::memcache {

namespace {

struct scan {
  bool negative = false;
  uint64_t magnitude = 0;
};

bool white_space(char x) { return x == ' ' || (x >= '\t' && x <= '\r'); }

bool digit(char x) { return x >= '0' && x <= '9'; }

/// `text` has no NUL.
std::optional<scan> scan_number(std::string_view text) {
  scan result;
  size_t i = 0;
  while (i < text.size() && white_space(text[i]))
    ++i;
  if (i < text.size() && (text[i] == '-' || text[i] == '+'))
    result.negative = text[i++] == '-';
  auto first = i;
  for (; i < text.size() && digit(text[i]); ++i) {
    auto x = static_cast<uint64_t>(text[i] - '0');
    constexpr auto max = std::numeric_limits<uint64_t>::max();
    if (result.magnitude > (max - x) / 10)
      return std::nullopt;
    result.magnitude = result.magnitude * 10 + x;
  }
  if (i == first || (i < text.size() && !white_space(text[i])))
    return std::nullopt;
  return result;
}

} // namespace

std::optional<uint64_t> read_unsigned(std::string_view text) {
  text = text.substr(0, text.find('\0'));
  auto x = scan_number(text);
  if (!x)
    return std::nullopt;
  auto value = x->negative ? 0 - x->magnitude : x->magnitude;
  // memcached looks for the minus sign only where a wrapped negative number would be this large,
  // and then anywhere in the text.
  if (static_cast<int64_t>(value) < 0 && text.find('-') != std::string_view::npos)
    return std::nullopt;
  return value;
}

std::optional<int64_t> read_signed(std::string_view text) {
  auto x = scan_number(text.substr(0, text.find('\0')));
  constexpr auto max = static_cast<uint64_t>(std::numeric_limits<int64_t>::max());
  if (!x || x->magnitude > max + (x->negative ? 1 : 0))
    return std::nullopt;
  return static_cast<int64_t>(x->negative ? 0 - x->magnitude : x->magnitude);
}

} // namespace kai::memcache
