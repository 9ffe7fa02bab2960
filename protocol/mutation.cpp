#include "protocol/mutation.hpp"

#include <algorithm>
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
  next.marks = what.marks;
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

void report_expiry(const mutation& what, decision& x) {
  if (what.reports_expiry)
    x.answer.found.emplace().expires = x.next->expires;
}

/// A new value for a client whose cas unique is too old: until the one who won brings a newer one.
decision store_as_stale(const mutation& what, const version& old) {
  auto result = store(what);
  result.next->expires = old.expires;
  result.next->marks.stale = true;
  result.next->marks.won = old.marks.won;
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
  auto text = counter_text(*number, old.value.size());
  // What memcached changes in place keeps its marks.
  auto in_place = text.size() == old.value.size();
  result.next = successor(old, std::move(text));
  if (in_place)
    result.next->marks = old.marks;
  if (what.sets_expiry)
    result.next->expires = what.expires;
  report_expiry(what, result);
  return result;
}

decision made_counter(const mutation& what) {
  auto result = answer(outcome_kind::number);
  result.answer.number = what.initial;
  auto& next = result.next.emplace();
  next.value = counter_text(what.initial, 0);
  next.expires = *what.vivify;
  report_expiry(what, result);
  if (result.answer.found)
    result.answer.found->marks.won = true;
  return result;
}

/// What clients see of `current`, as it is, for a change of anything but the value. It replaces
/// siblings, too, which is no change to a client.
void keep_value(decision& x, const record& current) {
  auto& old = *latest(current);
  x.next = successor(old, old.value);
  x.next->kept_cas = cas_unique(current);
  x.next->marks = old.marks;
}

decision touched(const mutation& what, const record& current) {
  auto& old = *latest(current);
  auto sees = what.kind == mutation_kind::get_and_touch;
  auto result = answer(sees ? outcome_kind::value : outcome_kind::touched);
  if (sees)
    result.answer.found = old;
  keep_value(result, current);
  result.next->expires = what.expires;
  return result;
}

decision with_fetch_result(decision x, fetch_result number) {
  x.answer.number = static_cast<uint64_t>(number);
  return x;
}

/// Of many clients that find a value stale, or about to expire, one wins.
decision fetched(const mutation& what, const record& current) {
  auto& old = *latest(current);
  auto result = answer(outcome_kind::value);
  result.answer.found = old;
  auto old_enough = old.expires != 0 && old.expires < what.recache_before;
  auto wins = !old.marks.won && (old.marks.stale || old_enough);
  if (wins || what.sets_expiry) {
    keep_value(result, current);
    result.next->marks.won = old.marks.won || wins;
    if (what.sets_expiry)
      result.next->expires = what.expires;
  }
  return with_fetch_result(std::move(result), wins ? fetch_result::won : fetch_result::plain);
}

decision made_placeholder(const mutation& what) {
  auto result = answer(outcome_kind::value);
  result.answer.found.emplace();
  auto& next = result.next.emplace();
  next.expires = *what.vivify;
  next.marks.won = true;
  return with_fetch_result(std::move(result), fetch_result::made_and_won);
}

/// The value stays, with a new cas unique, and the next one to see it wins.
decision invalidated(const mutation& what, const version& old) {
  auto result = answer(outcome_kind::deleted);
  result.next = successor(old, old.value);
  result.next->marks = old.marks;
  result.next->marks.stale = true;
  result.next->marks.won = false;
  if (what.sets_expiry)
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
  case mutation_kind::increment:
  case mutation_kind::decrement:
    return what.vivify ? made_counter(what) : answer(outcome_kind::not_found);
  case mutation_kind::fetch:
    return what.vivify ? made_placeholder(what) : answer(outcome_kind::not_found);
  default: return answer(outcome_kind::not_found);
  }
}

decision decide_present(const mutation& what, const record& current, size_t value_bytes_max) {
  auto& old = *latest(current);
  switch (what.kind) {
  case mutation_kind::add: return answer(outcome_kind::not_stored);
  case mutation_kind::append:
  case mutation_kind::prepend: return concatenated(what, old, value_bytes_max);
  case mutation_kind::increment:
  case mutation_kind::decrement: return counted(what, old);
  case mutation_kind::touch:
  case mutation_kind::get_and_touch: return touched(what, current);
  case mutation_kind::remove: return removed();
  case mutation_kind::fetch: return fetched(what, current);
  case mutation_kind::invalidate: return invalidated(what, old);
  case mutation_kind::set:
  case mutation_kind::replace:
  case mutation_kind::compare_and_set: break;
  }
  return store(what);
}

} // namespace

bool conditional(const mutation& x) { return x.kind != mutation_kind::set || x.compare != 0; }

bool repeatable(const mutation& x) {
  return (x.kind == mutation_kind::set || x.kind == mutation_kind::remove) && x.compare == 0;
}

bool always_writable(const mutation& x) { return repeatable(x); }

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
  auto counts = what.kind == mutation_kind::increment || what.kind == mutation_kind::decrement;
  if (counts && old->value.empty())
    return answer(outcome_kind::not_a_number);
  auto compares = what.compare != 0 || what.kind == mutation_kind::compare_and_set;
  if (compares && what.compare != cas_unique(current)) {
    // An `add` does not get as far as comparing.
    if (what.kind == mutation_kind::add)
      return answer(outcome_kind::not_stored);
    auto late = what.compare != 0 && what.compare < cas_unique(current);
    return what.stale_if_late && late ? store_as_stale(what, *old) : answer(outcome_kind::exists);
  }
  return decide_present(what, current, around.value_bytes_max);
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

void write_anyway(decision& x, const record& current, const circumstances& around) {
  auto old = latest(current);
  if (old && visible(*old, around.now, around.flushed))
    keep_value(x, current);
  else
    x.next.emplace().tombstone = true;
}

attempt_end end_of(const attempt& x, const record& now) {
  if (!covers(now.seen, x.written))
    return attempt_end::none;
  auto kept = x.known_until == UINT64_MAX;
  auto alone = now.versions.size() == 1;
  auto is_it = [&](const version& v) { return v.written == x.written; };
  auto rivals = [&](const version& v) { return !is_it(v) && latest_order{}(x.base, v.written); };
  if (holds(now, x.written)) {
    auto rivalled = std::any_of(now.versions.begin(), now.versions.end(), rivals);
    return !rivalled || (kept && !is_it(*latest(now))) ? attempt_end::happened : attempt_end::none;
  }
  // Whoever replaced it has known it, where that was not its leader, of which only the last dot is
  // known.
  if (kept || !covers(now.seen, {x.written.node, x.written.clock + 1}))
    return attempt_end::happened;
  auto& last = now.versions[0].written;
  auto knew_it = alone && last.node == x.written.node && last.clock <= x.known_until;
  return knew_it ? attempt_end::happened : attempt_end::unknown;
}

mutation rewrite_of(const version& x) {
  mutation result;
  result.kind = x.tombstone ? mutation_kind::remove : mutation_kind::set;
  result.flags = x.flags;
  result.expires = x.expires;
  result.value = x.value;
  result.marks = x.marks;
  return result;
}

} // namespace kai
