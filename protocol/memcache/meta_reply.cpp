#include "protocol/memcache/meta_reply.hpp"

#include <algorithm>
#include <charconv>

#include "protocol/memcache/base64.hpp"
#include "protocol/memcache/text_line.hpp"
#include "protocol/memcache/words.hpp"

namespace kai::memcache {

namespace {

constexpr uint64_t microseconds = 1'000'000;

void append_number(output& out, uint64_t x) {
  char digits[20];
  append(out, {digits, static_cast<size_t>(std::to_chars(digits, digits + 20, x).ptr - digits)});
}

/// " <letter>"
void append_flag(output& out, char letter) {
  out.push_back(' ');
  out.push_back(letter);
}

void append_flag(output& out, char letter, uint64_t x) {
  append_flag(out, letter);
  append_number(out, x);
}

/// What would break a line.
bool breaks_line(std::string_view key) {
  return key.find_first_of(std::string_view{" \r\n\0", 4}) != std::string_view::npos;
}

void append_key(output& out, std::string_view key, bool binary) {
  append(out, binary ? encode_base64(key) : std::string{key});
}

void append_key_flag(output& out, std::string_view key, bool binary) {
  append_flag(out, 'k');
  append_key(out, key, binary);
  if (binary)
    append_flag(out, 'b');
}

/// Seconds, a begun one counting whole, so that what was stored just now has all its time.
uint64_t seconds_left(timestamp expires, timestamp now) {
  return expires > now ? (expires - now + microseconds - 1) / microseconds : 0;
}

void append_time_to_live(output& out, timestamp expires, timestamp now) {
  append_flag(out, 't');
  if (expires == 0)
    append(out, "-1");
  else
    append_number(out, seconds_left(expires, now));
}

/// k and O, which every answer repeats.
bool append_repeated(output& out, const meta_question& q, std::string_view word, bool binary_key) {
  if (word[0] == 'k') {
    append_key_flag(out, q.key, binary_key);
  } else if (word[0] == 'O') {
    out.push_back(' ');
    append(out, word);
  } else {
    return false;
  }
  return true;
}

/// An answer of two letters, and what is repeated.
void append_short(output& out, const meta_question& q, std::string_view code) {
  append(out, code);
  auto rest = q.words;
  for (auto word = take_word(rest); !word.empty(); word = take_word(rest))
    append_repeated(out, q, word, q.binary_key);
  append(out, "\r\n");
}

bool asks_for(const meta_question& q, char letter) {
  auto rest = q.words;
  for (auto word = take_word(rest); !word.empty(); word = take_word(rest))
    if (word[0] == letter)
      return true;
  return false;
}

/// "VA <bytes>" or "HD".
void append_start(output& out, bool with_value, size_t bytes) {
  if (!with_value)
    return append(out, "HD");
  append(out, "VA ");
  append_number(out, bytes);
}

void append_number_outcome(output& out, const meta_question& q, const outcome& x) {
  char digits[20];
  auto end = std::to_chars(digits, digits + sizeof digits, x.number).ptr;
  std::string_view text{digits, static_cast<size_t>(end - digits)};
  auto with_value = asks_for(q, 'v');
  append_start(out, with_value, text.size());
  auto rest = q.words;
  for (auto word = take_word(rest); !word.empty(); word = take_word(rest)) {
    if (word[0] == 'c')
      append_flag(out, 'c', x.cas);
    else if (word[0] == 't')
      append_time_to_live(out, x.found ? x.found->expires : 0, q.now);
    else
      append_repeated(out, q, word, q.binary_key);
  }
  append(out, "\r\n");
  if (with_value) {
    append(out, text);
    append(out, "\r\n");
  }
}

/// `ms` tells the new cas unique, which is 0 when there is none.
void append_set(output& out, const meta_question& q, std::string_view code, uint64_t cas) {
  append(out, code);
  auto rest = q.words;
  for (auto word = take_word(rest); !word.empty(); word = take_word(rest))
    if (!append_repeated(out, q, word, q.binary_key) && word[0] == 'c')
      append_flag(out, 'c', cas);
  append(out, "\r\n");
}

std::string_view code_of(outcome_kind kind) {
  switch (kind) {
  case outcome_kind::stored:
  case outcome_kind::deleted: return "HD";
  case outcome_kind::exists: return "EX";
  case outcome_kind::not_found: return "NF";
  default: return "NS";
  }
}

void append_marks(output& out, const value_marks& before, fetch_result result) {
  if (before.won)
    append_flag(out, 'Z');
  if (before.stale)
    append_flag(out, 'X');
  if (result != fetch_result::plain)
    append_flag(out, 'W');
}

} // namespace

timestamp fetched_written(const outcome& found, uint64_t cas) {
  auto made = static_cast<fetch_result>(found.number) == fetch_result::made_and_won;
  return made ? cas >> cas_clock_shift : value_clock(*found.found);
}

void append_fetched(output& out, const meta_question& q, const version& x, uint64_t cas,
                    fetch_result result, const access_mark& access) {
  auto with_value = asks_for(q, 'v');
  append_start(out, with_value, x.value.size());
  auto expires = x.expires;
  auto rest = q.words;
  for (auto word = take_word(rest); !word.empty(); word = take_word(rest)) {
    switch (word[0]) {
    // Those behind it see what the command made of the expiry.
    case 'T': expires = q.write->expires; break;
    case 'N':
      if (result == fetch_result::made_and_won)
        expires = *q.write->vivify;
      break;
    case 's': append_flag(out, 's', x.value.size()); break;
    case 't': append_time_to_live(out, expires, q.now); break;
    case 'c': append_flag(out, 'c', cas); break;
    case 'f': append_flag(out, 'f', x.flags); break;
    case 'h': append_flag(out, 'h', access.fetched ? 1 : 0); break;
    case 'l': append_flag(out, 'l', (q.now - std::min(access.last, q.now)) / microseconds); break;
    default: append_repeated(out, q, word, x.marks.binary_key || breaks_line(q.key));
    }
  }
  append_marks(out, x.marks, result);
  append(out, "\r\n");
  if (with_value) {
    append(out, x.value.view());
    append(out, "\r\n");
  }
}

void append_not_fetched(output& out, const meta_question& q) {
  if (!q.quiet)
    append_short(out, q, "EN");
}

void append_outcome(output& out, const meta_question& q, const outcome& x) {
  if (x.kind == outcome_kind::not_a_number)
    return append_outcome(out, q.op, x);
  // memcached speaks of a counter that it made, quiet or not.
  auto made = x.kind == outcome_kind::number && x.found && x.found->marks.won;
  if (q.quiet && x.changes() && !made)
    return;
  if (x.kind == outcome_kind::number)
    return append_number_outcome(out, q, x);
  auto sets = q.op != verb::remove && q.op != verb::incr && q.op != verb::decr;
  if (sets)
    append_set(out, q, code_of(x.kind), x.cas);
  else
    append_short(out, q, code_of(x.kind));
}

void append_debug(output& out, std::string_view key, const version& x, uint64_t cas,
                  const access_mark& access, timestamp now) {
  append(out, "ME ");
  append_key(out, key, x.marks.binary_key || breaks_line(key));
  append(out, " exp=");
  if (x.expires == 0)
    append(out, "-1");
  else
    append_number(out, seconds_left(x.expires, now));
  append(out, " la=");
  append_number(out, (now - std::min(access.last, now)) / microseconds);
  append(out, " cas=");
  append_number(out, cas);
  append(out, access.fetched ? " fetch=yes cls=1 size=" : " fetch=no cls=1 size=");
  append_number(out, key.size() + x.value.size());
  append(out, "\r\n");
}

} // namespace kai::memcache
