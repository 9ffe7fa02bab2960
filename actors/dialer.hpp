#pragma once

#include <chrono>

#include <caf/stateful_actor.hpp>
#include <caf/typed_event_based_actor.hpp>

#include "actors/interfaces.hpp"

namespace kai {

struct dialer_state {
  static inline const char* name = "kai.dialer";
  dialer_state() = default;
};

/// Opens connections to other nodes. CAF connects with a blocking system call in its one middleman
/// actor, where an address that swallows packets would stop every other connect: so this looks
/// first whether somebody accepts, within a bounded time, and lets CAF connect only then.
///
/// Spawned by node, one; runs detached, because name look-up and that look block. Lives as long as
/// the node. `patience`: how long a connection that the look opens may take.
dialer_actor::behavior_type dialer(dialer_actor::stateful_pointer<dialer_state> self,
                                   std::chrono::milliseconds patience);

} // namespace kai
