#pragma once

#include <functional>

#include "actors/topology_vote.hpp"

namespace kai {

/// Before a member whose data is older than storage.grace takes part again: whether the others went
/// on without it for that long. Then the data may hold what they deleted and have forgotten, and is
/// dropped; sync refills the node. Where all were away together it is the newest there is, and
/// stays. A majority of the members has to say so; until then the node waits.
///
/// `done` is called once, with an error where the data could not be dropped.
void settle_age(topology_self self, std::function<void(caf::error)> done);

} // namespace kai
