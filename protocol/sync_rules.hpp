#pragma once

#include <chrono>
#include <cstdint>
#include <span>
#include <vector>

#include "protocol/limits.hpp"
#include "protocol/messages.hpp"

/// What two replicas of a partition have to exchange so that both hold the same: pure comparisons,
/// from the leaves of their Merkle trees down to a key.
namespace kai {

/// The leaves that differ. Empty lists stand for trees whose roots are equal.
std::vector<uint16_t> differing_leaves(std::span<const uint64_t> mine,
                                       std::span<const uint64_t> theirs);

struct sync_times {
  /// By the hybrid clock.
  timestamp now = 0;
  /// storage.grace.
  std::chrono::microseconds grace{0};
  /// What changed within this time is no difference yet: a write on its way.
  std::chrono::microseconds young = limits::sync_young;
  /// Everything that differs counts: one of the two is to hold the partition from now on, and has
  /// nothing yet.
  bool all = false;
};

/// A key that two replicas hold differently.
struct key_difference {
  blob key;
  /// Who has anything of it: the record is to be read there.
  bool mine = false;
  bool theirs = false;

  friend bool operator==(const key_difference&, const key_difference&) = default;
};

/// What to exchange of a leaf. Unless all counts, not what is young, and not what was over
/// (kai::over_since) for longer than the grace: one of the two may have dropped it already, and
/// must not get it back from the other, which will drop it as well.
std::vector<key_difference> differing_keys(const leaf_answer& mine, const leaf_answer& theirs,
                                           const sync_times& times);

/// What is known of another member where it comes to dropping records of a partition.
struct reap_witness {
  bool is_replica = false;
  /// Up to when both were last found equal, by the hybrid clock; 0: never. Of a replica.
  timestamp equal_at = 0;
  /// The highest epoch by whose lists it has said to hold nothing but what is its own.
  uint64_t dropped_until = 0;
};

/// Since when all replicas of a partition are known to be equal; 0: not yet. `changed_at`: the
/// epoch of the last change of its list. Who may still hold what is left of the time before would
/// bring it back with the partition, so every other member is heard, replica or not.
timestamp in_sync_since(timestamp now, uint64_t changed_at, std::span<const reap_witness> others);

/// Whether a record may be dropped: it was over before all replicas were last found equal, which
/// was at `in_sync` (0: never), and for longer than limits::reap_age. An older copy of a replica's
/// data that is put back just within the grace has until then to be compared.
bool reapable(timestamp over_since, timestamp in_sync, const sync_times& times);

} // namespace kai
