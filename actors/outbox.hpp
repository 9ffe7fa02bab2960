#pragma once

#include <functional>
#include <iterator>
#include <memory>
#include <utility>
#include <vector>

#include "actors/interfaces.hpp"
#include "actors/turn_task.hpp"
#include "protocol/limits.hpp"

namespace kai {

/// What goes to one other node: calls that the coordinators of this loop made in the turn at hand,
/// and answers to that node's calls. Its peer sends them all at the turn's end: a message for each
/// would cost more than the calls. On the loop's thread only.
struct outbox final : turn_task {
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
  /// At the end of this turn the peer sends them.
  bool flush_due = false;
  /// The peer's; null when it has ended.
  std::function<void()> send_all;

  void run() override {
    if (send_all)
      send_all();
  }

  /// Behind the last ones for the same, where these were made under the same epoch.
  void add_reply(const caf::strong_actor_ptr& to, answer_batch x, size_t bytes);
};

using outbox_ptr = std::shared_ptr<outbox>;

/// Calls `send(answer_batch, bytes)` with `x`, or, where it would be a large message, with parts of
/// it: a receiver drops what is above limits::message_bytes_max.
template <class Send>
void in_parts(answer_batch x, Send send) {
  auto from = x.answers.begin();
  size_t bytes = 0;
  for (auto i = from; i != x.answers.end(); ++i) {
    auto next = size_of(*i);
    if (bytes > 0 && bytes + next > limits::batch_bytes_max) {
      std::vector<answer> part{std::make_move_iterator(from), std::make_move_iterator(i)};
      send(answer_batch{x.header, std::move(part)}, bytes);
      from = i;
      bytes = 0;
    }
    bytes += next;
  }
  x.answers.erase(x.answers.begin(), from);
  send(std::move(x), bytes);
}

} // namespace kai
