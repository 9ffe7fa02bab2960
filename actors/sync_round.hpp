#pragma once

#include <memory>
#include <string>
#include <vector>

#include "actors/sync.hpp"

namespace kai {

using sync_self = sync_actor::stateful_pointer<sync_state>;

/// Compares `partitions`, which both hold, with the other member and exchanges what differs, both
/// ways: roots first (equal ones cost one message), then leaves, then keys, a bounded number at a
/// time. `done` is called once, with the partitions that are equal now as far as writes before the
/// round's begin go.
void start_round(sync_self self, member_index other, partition_list partitions,
                 std::function<void(const partition_list& equal)> done);

} // namespace kai
