#pragma once

#include <deque>
#include <optional>

#include <caf/stateful_actor.hpp>
#include <caf/typed_event_based_actor.hpp>

#include "actors/cluster_view.hpp"
#include "actors/node_context.hpp"
#include "actors/survey.hpp"

namespace kai {

/// Sees that partitions on their way arrive. The first live member by name asks all how far they
/// are, and proposes the epoch that puts filled targets in force (kai::with_filled); should it die,
/// the next one does. And each node drops by and by what it does not hold any more. The records
/// themselves come by sync.
///
/// Spawned by node, one; runs on the scheduler; lives as long as the node. Holds nothing that is
/// not found anew: the moves are in the topology, what is to be dropped is what is stored and not
/// held.
struct handoff_state {
  static inline const char* name = "kai.handoff";
  handoff_state() = default;

  using time_point = caf::actor_clock::time_point;

  /// A partition that this node does not hold, and how far it is dropped.
  struct leftover {
    partition_id partition = 0;
    uint64_t from = 0;
    time_point due;
  };

  context_ptr context;
  topology_actor topology_keeper;
  view_ptr view;
  survey_desk surveys;
  bool asking = false;
  std::deque<leftover> leftovers;
  bool dropping = false;
  uint64_t dropped = 0;
};

handoff_actor::behavior_type handoff(handoff_actor::stateful_pointer<handoff_state> self,
                                     context_ptr context, topology_actor topology_keeper);

} // namespace kai
