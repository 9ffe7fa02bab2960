#pragma once

#include <memory>
#include <set>
#include <string>
#include <vector>

#include "actors/sync.hpp"

namespace kai {

using sync_self = sync_actor::stateful_pointer<sync_state>;

/// What a round compares.
struct round_plan {
  member_index other = 0;
  /// Both hold these.
  partition_list partitions;
  /// Of these, young differences count as well: this node was away when they were written.
  std::set<partition_id> thorough;
};

/// Compares partitions with another member and exchanges what differs, both ways: roots first
/// (equal ones cost one message), then leaves, then keys, a bounded number at a time. `lot` is
/// called every now and then, with partitions that are equal now as far as writes before the
/// round's begin go, young ones excepted where the comparison was not thorough; `done` once, at the
/// end.
void start_round(sync_self self, round_plan plan,
                 std::function<void(const partition_list& equal)> lot,
                 std::function<void(bool all_equal)> done);

} // namespace kai
