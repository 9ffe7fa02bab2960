#pragma once

#include <vector>

#include <caf/stateful_actor.hpp>
#include <caf/typed_event_based_actor.hpp>

#include "actors/cluster_view.hpp"

namespace kai {

/// Brings the hints that this node's vnodes keep to whom they are for. A pass goes over all vnodes,
/// a bounded lot at a time: asks for hints, stores each at its member through that member's peer,
/// and tells the vnode which were taken. One begins when the view changes (a member came back) and
/// by timer.
///
/// Spawned by node, one; runs on the scheduler; lives as long as the node. What it has in hand is
/// in the vnodes still.
struct hints_state {
  static inline const char* name = "kai.hints";
  hints_state() = default;

  /// A hint on its way: how many have to take it, and have.
  struct delivery {
    hint what;
    size_t needed = 0;
    size_t taken = 0;
  };

  std::vector<vnode_actor> vnodes;
  view_ptr view;
  uint64_t ticks = 0;
  /// Set: a pass is under way. Its view of who is alive is its own: a member that fails gets
  /// nothing more from it.
  view_ptr pass;
  /// Another one is due after it.
  bool again = false;
  /// It looks at all hints, for those that are too old.
  bool all = false;
  size_t vnode = 0;
  /// Where to go on at the vnode; nullopt: at its beginning.
  std::optional<hint_cursor> at;
  std::vector<delivery> lot;
  /// Indices of members in the lot's calls are those of this epoch.
  uint64_t lot_epoch = 0;
  size_t unanswered = 0;
};

hints_actor::behavior_type hints(hints_actor::stateful_pointer<hints_state> self,
                                 std::vector<vnode_actor> vnodes);

} // namespace kai
