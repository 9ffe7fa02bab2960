#pragma once

#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "protocol/blob.hpp"
#include "protocol/hybrid_clock.hpp"
#include "protocol/wire.hpp"

/// Versions of a key: a dotted version vector set (Almeida et al., "Scalable and Accurate Causality
/// Tracking for Eventually Consistent Stores", 2014), as values. No rule here knows where a record
/// is stored or which node asks.
namespace kai {

/// Identifies a node's data: random, kept with a data directory, new for an empty one and at every
/// start of a memory engine. Hence an emptied node never issues a dot again.
using node_id = uint64_t;

/// One event: a write that `node` led at its clock value `clock`. Never repeats. Zero is "none".
struct dot {
  node_id node = 0;
  timestamp clock = 0;

  friend bool operator==(const dot&, const dot&) = default;
  friend auto operator<=>(const dot&, const dot&) = default;
};

/// Of two dots, the one that `cluster.conflicts=latest` prefers is greater: later, then higher
/// node.
struct latest_order {
  bool operator()(const dot& a, const dot& b) const {
    return a.clock != b.clock ? a.clock < b.clock : a.node < b.node;
  }
};

/// What the meta commands remember of a value.
struct value_marks {
  /// Invalidated: served as stale until somebody brings a new one.
  bool stale = false;
  /// Somebody was told to bring a new one.
  bool won = false;
  /// The key was given in base64, and is answered so.
  bool binary_key = false;

  uint8_t pack() const;
  /// Nothing when `bits` has others.
  static std::optional<value_marks> unpack(uint8_t bits);
  friend bool operator==(const value_marks&, const value_marks&) = default;
};

/// One value of a key, or the mark of its deletion.
struct version {
  /// The write that made this version.
  dot written;
  /// Of what kept the value (`touch`, a win): the cas unique that it kept. 0: the value is its own.
  uint64_t kept_cas = 0;
  /// As memcached's client flags.
  uint32_t flags = 0;
  /// Absolute, in microseconds since 1970; 0: never.
  timestamp expires = 0;
  bool tombstone = false;
  blob value;
  value_marks marks;

  friend bool operator==(const version&, const version&) = default;
};

/// Per node the highest clock seen, sorted by node.
using version_vector = std::vector<dot>;

/// All that is known of a key. `seen` covers every version in `versions` and every one that they
/// replaced. `versions` are concurrent with each other (siblings), sorted by dot; one, usually.
struct record {
  version_vector seen;
  std::vector<version> versions;

  bool empty() const { return seen.empty(); }
  friend bool operator==(const record&, const record&) = default;
};

/// Whether `seen` includes the event `x`.
bool covers(const version_vector& seen, const dot& x);

/// What both know: commutative, associative, idempotent. Siblings above limits::siblings_max and
/// vector entries above limits::version_vector_max go, oldest first; `dropped`, if given, grows by
/// the siblings that went so.
record merge(const record& a, const record& b, size_t* dropped = nullptr);

/// A write on top of everything in `x`: replaces all versions. `next.written` must be a new dot of
/// the node that leads, above all of that node's in `x`.
void overwrite(record& x, version next);

/// The event `x` counts as seen from now on, although nothing of it is there: what it may have made
/// elsewhere is replaced by the next `overwrite`, before which this is no record yet.
void note_seen(version_vector& seen, const dot& x);

/// Covers key, vector and dots, not values (so replicas that turned an expired value into a
/// tombstone at different moments agree). 0 exactly for the empty record.
uint64_t digest_of(std::string_view key, const record& x);

/// The version that `cluster.conflicts=latest` answers with, tombstones included; null when empty.
const version* latest(const record& x);

/// Whether it has the version that this write made.
bool holds(const record& x, const dot& written);

/// After `stored` went into `merged`: the clock of the concurrent version that clients see instead
/// of the latest one of `stored`, or whose clock is the same, so that cas uniques would not grow; 0
/// when they see that one, or something written with knowledge of it.
timestamp shadowed_by(const record& merged, const record& stored);

/// Whether a client may see `x`: no tombstone, not expired, not flushed. `flushed`: versions with
/// dots at or below it are gone.
bool visible(const version& x, timestamp now, timestamp flushed);

/// Since when no client can see anything of `x`, at the latest: deletions, expiries (also ones to
/// come) and the flush mark `flushed`. 0: some version stays. For the empty record 0.
timestamp over_since(const record& x, timestamp flushed);

/// The clock of the newest dot that `x` has seen; 0 for the empty record.
timestamp newest_of(const record& x);

/// The cas unique: the clock of the latest version's value, shifted by 12 bits, with a 12-bit
/// digest below it of where and when each version's value was written. Same on every replica, never
/// 0, grows with every change of the value. 0 for the empty record.
uint64_t cas_unique(const record& x);

/// When the value of `x` was written, by the clock of its leader.
timestamp value_clock(const version& x);

/// `x` without its values: as much as `cas_unique` and `merge` look at.
record outline_of(const record& x);

/// The cas unique `cas` of `written` once it is known that replicas have versions of `outline`
/// beside it.
uint64_t cas_unique_beside(uint64_t cas, const record& written, const record& outline);

/// Where the clock starts in a cas unique.
inline constexpr unsigned cas_clock_shift = 12;

void encode(byte_writer& out, const record& x);
/// Fails `in` when the bytes are no record, its invariants (order, covering, as many versions as
/// merge leaves) included.
record decode_record(byte_reader& in);

/// digest_of the record that `encode` has put there, without a look at its values' bytes. Of other
/// bytes it is any number, or `in` fails.
uint64_t encoded_digest(std::string_view key, byte_reader& in);

std::string to_string(const dot& x);
std::string to_string(const record& x);

} // namespace kai
