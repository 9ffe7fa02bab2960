#include "protocol/memcache/text_reply.hpp"

#include <algorithm>
#include <charconv>
#include <limits>

#include "protocol/limits.hpp"
#include "protocol/memcache/text_line.hpp"

namespace kai::memcache {

namespace {

constexpr uint64_t microseconds = 1'000'000;

/// Up to here exptime counts from now: 30 days.
constexpr int64_t relative_seconds_max = 60 * 60 * 24 * 30;

/// Above any time that there will be, and with microseconds still below 2^63.
constexpr int64_t absolute_seconds_max = 1'000'000'000'000;

constexpr size_t number_bytes_max = std::numeric_limits<uint64_t>::digits10 + 1;

/// One space and the number.
char* put_number(char* at, uint64_t x) {
  *at++ = ' ';
  return std::to_chars(at, at + number_bytes_max, x).ptr;
}

std::string_view line_of(outcome_kind kind) {
  switch (kind) {
  case outcome_kind::stored: return "STORED\r\n";
  // memcached's word for an append that would outgrow an item, too.
  case outcome_kind::too_large:
  case outcome_kind::not_stored: return "NOT_STORED\r\n";
  case outcome_kind::exists: return "EXISTS\r\n";
  case outcome_kind::not_found: return "NOT_FOUND\r\n";
  case outcome_kind::deleted: return "DELETED\r\n";
  case outcome_kind::touched: return "TOUCHED\r\n";
  case outcome_kind::not_a_number:
    return "CLIENT_ERROR cannot increment or decrement non-numeric value\r\n";
  case outcome_kind::number:
  case outcome_kind::value: break;
  }
  return {};
}

} // namespace

void append(output& out, std::string_view text) { out.insert(out.end(), text.begin(), text.end()); }

void append_value(output& out, std::string_view key, const version& x, uint64_t cas) {
  char numbers[3 * (1 + number_bytes_max) + 2];
  auto* end = put_number(numbers, x.flags);
  end = put_number(end, x.value.size());
  if (cas != 0)
    end = put_number(end, cas);
  *end++ = '\r';
  *end++ = '\n';
  // One growth, by doubling, in place of one per part.
  constexpr size_t words = std::string_view{"VALUE \r\n"}.size() + sizeof numbers;
  auto size = out.size() + words + key.size() + x.value.size();
  if (size > out.capacity())
    out.reserve(std::max(size, 2 * out.capacity()));
  append(out, "VALUE ");
  append(out, key);
  out.insert(out.end(), numbers, end);
  append(out, x.value.view());
  append(out, "\r\n");
}

void append_outcome(output& out, verb op, const outcome& x) {
  // A gat that misses says no more than a get that misses.
  if (op == verb::gat || op == verb::gats)
    return;
  if (x.kind != outcome_kind::number)
    return append(out, line_of(x.kind));
  char digits[number_bytes_max + 2];
  auto* end = std::to_chars(digits, digits + number_bytes_max, x.number).ptr;
  *end++ = '\r';
  *end++ = '\n';
  out.insert(out.end(), digits, end);
}

void append_failure(output& out, const caf::error& err) {
  if (err == errc::out_of_memory)
    return append(out, out_of_memory);
  if (err == errc::overloaded)
    return append(out, "SERVER_ERROR busy\r\n");
  auto reason = message_of(err);
  std::erase_if(reason, [](unsigned char x) { return x < ' ' || x == 0x7f; });
  if (reason.empty())
    reason = "internal error";
  append(out, "SERVER_ERROR ");
  append(out, std::string_view{reason}.substr(0, limits::failure_text_bytes_max));
  append(out, "\r\n");
}

timestamp absolute_expiry(int64_t exptime, timestamp now) {
  if (exptime == 0)
    return 0;
  if (exptime < 0)
    return 1;
  auto seconds = static_cast<uint64_t>(std::min(exptime, absolute_seconds_max));
  return seconds * microseconds + (exptime <= relative_seconds_max ? now : 0);
}

} // namespace kai::memcache
