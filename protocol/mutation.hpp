#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "protocol/version.hpp"

/// What a write means, decided where it is led: pure functions from a record to an outcome.
namespace kai {

enum class mutation_kind : uint8_t {
  set = 1,
  add,
  replace,
  append,
  prepend,
  compare_and_set,
  increment,
  decrement,
  touch,
  get_and_touch,
  remove,
  /// Meta get where it changes something: what it finds, a win, a new expiry, a placeholder.
  fetch,
  /// Meta delete that only marks the value as stale.
  invalidate,
};

/// One write as a client asked for it. Which fields count depends on `kind`.
struct mutation {
  mutation_kind kind = mutation_kind::set;
  uint32_t flags = 0;
  /// Absolute, microseconds since 1970; 0: never.
  timestamp expires = 0;
  /// By how much to increment or decrement.
  uint64_t delta = 0;
  /// The cas unique that the key must have; 0: any. `compare_and_set` always compares. A codec
  /// turns a `set` that compares into `compare_and_set`, which is the one that reads first.
  uint64_t compare = 0;
  blob value;
  /// increment, decrement, fetch, invalidate: `expires` takes the place of the old expiry.
  bool sets_expiry = false;
  /// increment, decrement: the outcome's `found` says when it expires, and its `marks.won` that it
  /// was made.
  bool reports_expiry = false;
  /// compare_and_set: a cas unique that is too old still stores, as a stale value.
  bool stale_if_late = false;
  /// increment, decrement, fetch: made where there is nothing, with this expiry; a counter with the
  /// value `initial`, by `fetch` an empty placeholder.
  std::optional<timestamp> vivify;
  uint64_t initial = 0;
  /// fetch: what expires before is to be replaced by whoever wins; 0: nothing.
  timestamp recache_before = 0;
  /// Of the value that is stored.
  value_marks marks;
  /// How many replicas must have it, in place of the cluster's W; 0: as many as that.
  uint8_t quorum = 0;

  friend bool operator==(const mutation&, const mutation&) = default;
};

/// Whether the leader must see the key's state at R replicas before it decides.
bool conditional(const mutation& x);

/// Whether running it twice leaves what running it once leaves, so that a coordinator may ask the
/// next replica when a leader fails without an answer.
bool repeatable(const mutation& x);

/// Whether it goes on where the key's state can not be seen: `set`, and `remove` without a
/// comparison, which then says "deleted" either way. They succeed while any W nodes can be reached.
bool always_writable(const mutation& x);

/// Whether the client that fetched has to bring a new value.
enum class fetch_result : uint8_t { plain, won, made_and_won };

enum class outcome_kind : uint8_t {
  stored = 1,
  not_stored,
  exists,
  not_found,
  deleted,
  touched,
  /// `number` is the new value.
  number,
  /// Increment or decrement of something that is no decimal number of at most 64 bits.
  not_a_number,
  /// An append or prepend that would outgrow memcache.max-item-size.
  too_large,
  /// Hit of get_and_touch or fetch: `found` is what it saw. Of fetch, `number` is a fetch_result.
  value,
};

struct outcome {
  outcome_kind kind = outcome_kind::not_stored;
  uint64_t number = 0;
  /// The cas unique after the write, for binary and meta replies; 0 when nothing was written.
  uint64_t cas = 0;
  std::optional<version> found;

  /// Whether the write changed the key.
  bool changes() const;
  friend bool operator==(const outcome&, const outcome&) = default;
};

/// What to answer, and what to write if anything. `next` has no dot yet, and the answer's `cas` is
/// 0 until it has.
struct decision {
  outcome answer;
  std::optional<version> next;
};

/// What a mutation finds around it.
struct circumstances {
  timestamp now = 0;
  /// Versions with dots at or below are flushed.
  timestamp flushed = 0;
  /// Bytes of the largest value.
  size_t value_bytes_max = 1024 * 1024;
};

/// As memcached 1.6.18 decides, on the latest version; one that is not `visible` is missing.
decision decide(const mutation& what, const record& current, const circumstances& around);

/// What a write that looks at nothing writes: `set`, and a `remove` that could not see the key's
/// state and so says "deleted" either way.
decision decide_blindly(const mutation& what);

/// Makes of a decision that changes nothing one that writes what is there once more: what the same
/// write may have left elsewhere when it was tried before is replaced by that.
void write_anyway(decision& x, const record& current, const circumstances& around);

/// A write that was decided and could not be placed at W replicas, because the lists of its
/// partition changed or because some of them refused it. Whoever does it again looks first what
/// became of it.
struct attempt {
  dot written;
  /// The version that clients saw when it was decided; zero: none.
  dot base;
  outcome result;
  /// Whatever its leader wrote up to this moment of its clock has known it: for so long it waited
  /// in the leader's vnode. UINT64_MAX: it is stored there. Later a record may cover the dot
  /// without its having happened.
  timestamp known_until = 0;
};

enum class attempt_end : uint8_t {
  /// It has not taken effect: it is no part of the record, or stands beside a version that it did
  /// not know and that won over what it was decided on: that was acknowledged, maybe. (A write that
  /// looked at nothing, and is stored at its leader, has come before those that win over it.)
  none,
  happened,
  unknown,
};

/// What became of it, by a record that R replicas hold.
attempt_end end_of(const attempt& x, const record& now);

/// The blind write that leaves `x` once more: for a version whose dot turned out too low to be
/// seen.
mutation rewrite_of(const version& x);

void encode(byte_writer& out, const mutation& x);
mutation decode_mutation(byte_reader& in);
void encode(byte_writer& out, const outcome& x);
outcome decode_outcome(byte_reader& in);

} // namespace kai
