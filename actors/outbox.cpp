#include "actors/outbox.hpp"

#include <algorithm>

namespace kai {

void outbox::add_reply(const caf::strong_actor_ptr& to, answer_batch x, size_t bytes) {
  auto* last = replies.empty() ? nullptr : &replies.back();
  if (!last || last->to != to || last->batch.header.epoch != x.header.epoch ||
      last->bytes + bytes > limits::batch_bytes_max) {
    replies.push_back({to, std::move(x), bytes});
    return;
  }
  auto& known = last->batch;
  known.header.clock = std::max(known.header.clock, x.header.clock);
  known.answers.insert(known.answers.end(), std::make_move_iterator(x.answers.begin()),
                       std::make_move_iterator(x.answers.end()));
  last->bytes += bytes;
}

} // namespace kai
