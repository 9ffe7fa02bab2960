#pragma once

#include <memory>
#include <vector>

#include "actors/interfaces.hpp"

namespace kai {

/// What goes to one other node: calls that the coordinators of this loop made in the turn at hand,
/// and answers to that node's calls. Its peer takes them all at the turn's end: a message for each
/// would cost more than the calls. On the loop's thread only.
struct outbox {
  /// Calls of one sender, whom the answers go to.
  struct lot {
    caf::strong_actor_ptr sender;
    call_list calls;
  };

  /// Answers for one who asked.
  struct reply {
    caf::strong_actor_ptr to;
    answer_batch batch;
    size_t bytes = 0;
  };

  std::vector<lot> lots;
  std::vector<reply> replies;
  /// The peer gets a flush_batch_atom at the end of this turn.
  bool flush_due = false;

  /// Behind the last ones for the same, where these were made under the same epoch.
  void add_reply(const caf::strong_actor_ptr& to, answer_batch x);
};

using outbox_ptr = std::shared_ptr<outbox>;

} // namespace kai
