#pragma once

#include <memory>
#include <vector>

#include "actors/interfaces.hpp"

namespace kai {

/// Calls for one other node that the coordinators of this loop made in the turn at hand. Its peer
/// takes them all at the turn's end: a message for each would cost more than the calls. On the
/// loop's thread only.
struct outbox {
  /// Calls of one sender, whom the answers go to.
  struct lot {
    caf::strong_actor_ptr sender;
    call_list calls;
  };

  std::vector<lot> lots;
  /// The peer gets a flush_batch_atom at the end of this turn.
  bool flush_due = false;
};

using outbox_ptr = std::shared_ptr<outbox>;

} // namespace kai
