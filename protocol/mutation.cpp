#include "protocol/mutation.hpp"

#include <charconv>
#include <cstring>
#include <limits>
#include <utility>

#include "protocol/memcache/number.hpp"

namespace kai {

namespace {

decision answer(outcome_kind kind) {
  decision result;
  result.answer.kind = kind;
  return result;
}

decision store(const mutation& what) {
  auto result = answer(outcome_kind::stored);
  auto& next = result.next.emplace();
  next.flags = what.flags;
  next.expires = what.expires;
  next.value = what.value;
  return result;
}

/// A version with `old`'s flags and expiry and a value of its own.
version successor(const version& old, blob value) {
  version result;
  result.flags = old.flags;
  result.expires = old.expires;
  result.value = std::move(value);
  return result;
}

blob concatenate(const blob& front, const blob& back) {
  auto result = blob::uninitialized(front.size() + back.size());
  if (!front.empty())
    std::memcpy(result.mutable_data(), front.data(), front.size());
  if (!back.empty())
    std::memcpy(result.mutable_data() + front.size(), back.data(), back.size());
  return result;
}

decision concatenated(const mutation& what, const version& old, size_t value_bytes_max) {
  if (old.value.size() > value_bytes_max || what.value.size() > value_bytes_max - old.value.size())
    return answer(outcome_kind::too_large);
  auto result = answer(outcome_kind::stored);
  result.next =
      successor(old, what.kind == mutation_kind::append ? concatenate(old.value, what.value)
                                                        : concatenate(what.value, old.value));
  return result;
}

/// A counter's text never gets shorter: memcached writes it over the old one and fills up with
/// spaces.
blob counter_text(uint64_t number, size_t bytes_min) {
  char digits[std::numeric_limits<uint64_t>::digits10 + 1];
  auto end = std::to_chars(digits, digits + sizeof digits, number).ptr;
  auto size = static_cast<size_t>(end - digits);
  auto result = blob::uninitialized(size < bytes_min ? bytes_min : size);
  std::memset(result.mutable_data(), ' ', result.size());
  std::memcpy(result.mutable_data(), digits, size);
  return result;
}

decision counted(const mutation& what, const version& old) {
  auto number = memcache::read_unsigned(old.value.view());
  if (!number)
    return answer(outcome_kind::not_a_number);
  if (what.kind == mutation_kind::increment)
    *number += what.delta;
  else
    *number -= what.delta < *number ? what.delta : *number;
  auto result = answer(outcome_kind::number);
  result.answer.number = *number;
  result.next = successor(old, counter_text(*number, old.value.size()));
  return result;
}

decision touched(const mutation& what, const version& old) {
  auto sees = what.kind == mutation_kind::get_and_touch;
  auto result = answer(sees ? outcome_kind::value : outcome_kind::touched);
  if (sees)
    result.answer.found = old;
  result.keeps_value = true;
  result.next = successor(old, old.value);
  result.next->value_written = old.value_written;
  result.next->expires = what.expires;
  return result;
}

decision removed() {
  auto result = answer(outcome_kind::deleted);
  result.next.emplace().tombstone = true;
  return result;
}

decision decide_missing(const mutation& what) {
  switch (what.kind) {
  case mutation_kind::set:
    if (what.compare != 0)
      return answer(outcome_kind::not_found);
    return store(what);
  case mutation_kind::add: return store(what);
  case mutation_kind::replace:
  case mutation_kind::append:
  case mutation_kind::prepend: return answer(outcome_kind::not_stored);
  default: return answer(outcome_kind::not_found);
  }
}

decision decide_present(const mutation& what, const version& old, size_t value_bytes_max) {
  switch (what.kind) {
  case mutation_kind::add: return answer(outcome_kind::not_stored);
  case mutation_kind::append:
  case mutation_kind::prepend: return concatenated(what, old, value_bytes_max);
  case mutation_kind::increment:
  case mutation_kind::decrement: return counted(what, old);
  case mutation_kind::touch:
  case mutation_kind::get_and_touch: return touched(what, old);
  case mutation_kind::remove: return removed();
  case mutation_kind::set:
  case mutation_kind::replace:
  case mutation_kind::compare_and_set: break;
  }
  return store(what);
}

void encode_version(byte_writer& out, const version& x) {
  for (const auto& event : {x.written, x.value_written}) {
    out.u64(event.node);
    out.u64(event.clock);
  }
  out.u8(x.tombstone ? 1 : 0);
  out.varint(x.flags);
  out.varint(x.expires);
  out.bytes(x.value.view());
}

bool read_bool(byte_reader& in) {
  auto x = in.u8();
  if (x > 1)
    in.fail();
  return x == 1;
}

uint32_t read_flags(byte_reader& in) {
  auto x = in.varint();
  if (x > std::numeric_limits<uint32_t>::max())
    in.fail();
  return static_cast<uint32_t>(x);
}

version decode_version(byte_reader& in) {
  version x;
  for (auto* event : {&x.written, &x.value_written}) {
    event->node = in.u64();
    event->clock = in.u64();
  }
  x.tombstone = read_bool(in);
  x.flags = read_flags(in);
  x.expires = in.varint();
  x.value = in.read_blob();
  return x;
}

/// An enum whose values are 1 to `last`.
template <class Enum>
Enum read_enum(byte_reader& in, Enum last) {
  auto x = in.u8();
  if (x >= 1 && x <= static_cast<uint8_t>(last))
    return static_cast<Enum>(x);
  in.fail();
  return last;
}

} // namespace

bool conditional(mutation_kind kind) { return kind != mutation_kind::set; }

bool repeatable(mutation_kind kind) {
  return kind == mutation_kind::set || kind == mutation_kind::remove;
}

bool always_writable(mutation_kind kind) {
  return kind == mutation_kind::set || kind == mutation_kind::remove;
}

bool outcome::changes() const {
  switch (kind) {
  case outcome_kind::stored:
  case outcome_kind::deleted:
  case outcome_kind::touched:
  case outcome_kind::number:
  case outcome_kind::value: return true;
  case outcome_kind::not_stored:
  case outcome_kind::exists:
  case outcome_kind::not_found:
  case outcome_kind::not_a_number:
  case outcome_kind::too_large: break;
  }
  return false;
}

decision decide(const mutation& what, const record& current, const circumstances& around) {
  const auto* old = latest(current);
  if (!old || !visible(*old, around.now, around.flushed))
    return decide_missing(what);
  auto compares = what.compare != 0 || what.kind == mutation_kind::compare_and_set;
  if (compares && what.compare != cas_unique(current))
    return answer(outcome_kind::exists);
  return decide_present(what, *old, around.value_bytes_max);
}

decision decide_blindly(const mutation& what) {
  auto result = decide_missing(what);
  if (what.kind == mutation_kind::remove) {
    result.answer.kind = outcome_kind::deleted;
    result.next.emplace();
    result.next->tombstone = true;
  }
  return result;
}

mutation rewrite_of(const version& x) {
  mutation result;
  result.kind = x.tombstone ? mutation_kind::remove : mutation_kind::set;
  result.flags = x.flags;
  result.expires = x.expires;
  result.value = x.value;
  return result;
}

void encode(byte_writer& out, const mutation& x) {
  out.u8(static_cast<uint8_t>(x.kind));
  out.varint(x.flags);
  out.varint(x.expires);
  out.varint(x.delta);
  out.varint(x.compare);
  out.bytes(x.value.view());
}

mutation decode_mutation(byte_reader& in) {
  mutation x;
  x.kind = read_enum(in, mutation_kind::remove);
  x.flags = read_flags(in);
  x.expires = in.varint();
  x.delta = in.varint();
  x.compare = in.varint();
  x.value = in.read_blob();
  return in.ok() ? x : mutation{};
}

void encode(byte_writer& out, const outcome& x) {
  out.u8(static_cast<uint8_t>(x.kind));
  out.varint(x.number);
  out.varint(x.cas);
  out.u8(x.found ? 1 : 0);
  if (x.found)
    encode_version(out, *x.found);
}

outcome decode_outcome(byte_reader& in) {
  outcome x;
  x.kind = read_enum(in, outcome_kind::value);
  x.number = in.varint();
  x.cas = in.varint();
  if (read_bool(in))
    x.found = decode_version(in);
  return in.ok() ? x : outcome{};
}

} // namespace kai
