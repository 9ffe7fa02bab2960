#pragma once

#include "actors/io_loop.hpp"

#include <caf/stateful_actor.hpp>

namespace kai {

/// What one node has to do for one coordinator: passes calls to the node's peer, in the
/// coordinator's name, so that answers need no hop over here.
///
/// Spawned by io_loop when its free list is empty; runs on the loop; goes back to the free list
/// when its coordinator ends; lives as long as the loop. Holds nothing that matters between two
/// batches.
struct replica_call_state {
  static inline const char* name = "kai.replica_call";
  replica_call_state() = default;
  coordinator_actor coordinator;
  peer_actor peer;
};

replica_call_actor::behavior_type
replica_call(replica_call_actor::stateful_pointer<replica_call_state> self);

} // namespace kai
