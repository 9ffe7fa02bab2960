#pragma once

#include <memory>
#include <string>
#include <vector>

#include "actors/sync.hpp"

namespace kai {

using sync_self = sync_actor::stateful_pointer<sync_state>;

/// Compares `partitions`, which both hold, with the other member and exchanges what differs, both
/// ways: roots first (equal ones cost one message), then leaves, then keys, a bounded number at a
/// time. `lot` is called every now and then, with partitions that are equal now as far as writes
/// before the round's begin go; `done` once, at the end.
void start_round(sync_self self, member_index other, partition_list partitions,
                 std::function<void(const partition_list& equal)> lot,
                 std::function<void(bool all_equal)> done);

} // namespace kai
