#include "actors/coordinator_work.hpp"

#include <bit>

#include <caf/raise_error.hpp>
#include <caf/send.hpp>

namespace kai {

void batch_work::begin_batch(bool forwarded, std::optional<caf::actor_clock::time_point> began) {
  st_.view = st_.loop->view;
  st_.forwarded = forwarded;
  st_.began = began ? *began : self_->home_system().clock().now();
  st_.hedged = false;
}

void batch_work::begin(request_list& xs) {
  begin_batch(xs.forwarded, xs.began);
  st_.unanswered = xs.requests.size();
  st_.operations.reserve(xs.requests.size());
  start(caf::actor_cast<response_sink>(self_->current_sender()), nullptr, xs);
  send_all();
}

void batch_work::begin_gathered() {
  begin_batch(false, {});
  auto lots = st_.loop->take_requests();
  for (auto& x : lots)
    st_.unanswered += x.requests.requests.size();
  // Calls refer to operations by their place.
  st_.operations.reserve(st_.unanswered);
  st_.clients.reserve(lots.size());
  for (auto& x : lots)
    start(std::move(x.client), std::move(x.box), x.requests);
  send_all();
}

void batch_work::start(response_sink client, response_box_ptr box, request_list& xs) {
  auto index = static_cast<uint32_t>(st_.clients.size());
  st_.clients.push_back({std::move(client), std::move(box), {}});
  for (auto& x : xs.requests) {
    auto& op = st_.operations.emplace_back();
    op.tag = x.tag;
    op.client = index;
    op.key = std::move(x.key);
    op.quorum = x.quorum;
    if (x.write) {
      auto& w = op.write.emplace();
      w.what = std::move(*x.write);
      w.tried_before = std::move(x.tried);
      w.above = x.above;
      w.may_have_happened = x.may_have_happened;
      w.decides.until = x.until;
    }
    start(op, x.held.get());
  }
}

void batch_work::start(operation& op, const held_decision* held) {
  if (!st_.view)
    return fail(op, {errc::not_a_member, true, "this node is not a member of the cluster yet"});
  op.hash = key_hash(op.key.view());
  op.partition = partition_of(op.hash, st_.view->topo.settings.partitions);
  if (held)
    resume(op, *held);
  else if (op.write)
    start_write(op);
  else
    start_read(op);
}

/// The record comes from this node when it is a replica in force, else from the first of those that
/// is alive.
void batch_work::start_read(operation& op) {
  auto nodes = places(op);
  auto in_force = st_.view->replicas(op.partition);
  auto choice = std::find(in_force.begin(), in_force.end(), st_.view->self);
  if (choice == in_force.end())
    choice = std::find_if(in_force.begin(), in_force.end(),
                          [&](member_index x) { return st_.view->alive[x]; });
  if (choice == in_force.end())
    choice = in_force.begin();
  auto record_place = static_cast<size_t>(choice - in_force.begin());
  op.read.emplace(as_wanted(st_.view->read_rule(op.partition), op.quorum), record_place);
  for (size_t i = 0; i < nodes.size(); ++i)
    ask(op, i, nodes[i], stage::read, read_call{i != record_place});
}

void batch_work::on_turn(uint32_t index) {
  --st_.outstanding;
  auto& op = st_.operations[index];
  op.write->has_turn = true;
  if (elapsed() > limits::turn_wait_max)
    fail(op, too_many_writers());
  else
    start_read(op);
  send_all();
}

/// Some answer is late: the records that have not come are asked of others.
void batch_work::on_late() {
  auto& count = st_.loop->count;
  for (auto& op : st_.operations) {
    if (op.replied || !op.read || count.calls_hedged * limits::hedged_one_in >= count.calls)
      continue;
    auto todo = op.read->on_late();
    count.calls_hedged += static_cast<uint64_t>(std::popcount(todo.fetch));
    read_step(op, todo);
  }
  send_all();
}

void batch_work::on_answers(std::vector<answer>& xs) {
  for (auto& x : xs) {
    --st_.outstanding;
    auto tag = call_tag::unpack(x.id);
    auto& op = st_.operations[tag.operation];
    note_unstored(op, tag, x);
    if (tag.round == op.round) {
      note_refusal(op, tag, x);
      on_answer(op, tag, x);
    }
    if (op.replied && op.write && !op.write->resuming && std::exchange(op.write->unstored, false))
      release(op);
  }
  send_all();
}

void batch_work::on_answer(operation& op, const call_tag& tag, answer& x) {
  switch (tag.what) {
  case stage::read:
  case stage::write_back: return on_read_answer(op, tag, x);
  case stage::forward: return on_lead_answer(op, x);
  case stage::apply: return on_applied(op, x);
  case stage::store: return on_store_answer(op, tag, x);
  case stage::hint: return on_hint_answer(op, tag, x);
  case stage::release: return;
  }
}

void batch_work::on_read_answer(operation& op, const call_tag& tag, answer& x) {
  if (!op.read)
    return;
  if (auto y = std::get_if<digest_answer>(&x.what))
    read_step(op, op.read->on_digest(tag.place, *y));
  else if (auto y = std::get_if<record_answer>(&x.what))
    read_step(op, op.read->on_record(tag.place, op.key.view(), std::move(*y)));
  else if (auto y = std::get_if<stored_answer>(&x.what))
    read_step(op, op.read->on_stored(tag.place, y->shadowed_by != 0));
  else if (auto y = std::get_if<failed_answer>(&x.what))
    read_step(op, op.read->on_failure(tag.place, *y));
  else
    read_step(op, op.read->on_failure(tag.place, foreign_answer()));
}

void batch_work::read_step(operation& op, const read_core::todo& todo) {
  auto nodes = places(op);
  for (size_t i = 0; i < nodes.size(); ++i) {
    if (todo.fetch >> i & 1)
      ask(op, i, nodes[i], stage::read, read_call{false});
    if (todo.store >> i & 1) {
      ++st_.loop->count.read_repairs;
      ask(op, i, nodes[i], stage::write_back, store_call{op.read->result()});
    }
  }
  if (todo.reply)
    read_done(op);
}

void batch_work::read_done(operation& op) {
  auto& core = *op.read;
  if (!op.write) {
    if (core.failed())
      return fail(op, core.failure());
    if (core.result().versions.size() > 1)
      st_.loop->count.siblings_seen += core.result().versions.size() - 1;
    return reply(op, core.finished() ? core.take_result() : core.result());
  }
  if (!core.failed())
    return apply(op, core.result(), true);
  // What cannot see the key's state does not act on it; only `delete` goes on, as `set` would.
  // Where nodes refused because they know of other lists it will see the key in a moment.
  if (always_writable(op.write->what) && !(op.outdated && budget(op).may_begin_anew(elapsed())))
    return apply(op, {}, false);
  auto why = core.failure();
  why.unchanged = true;
  fail(op, std::move(why));
}

/// Begins anew where that may help: the operation did not fail, its view was too old or too new.
void batch_work::fail(operation& op, failed_answer why) {
  // A peer that is retired since answers that the node is down. What another leader may have done
  // is not done again.
  auto* w = op.write ? &*op.write : nullptr;
  auto tracked =
      !w || why.unchanged || why.reason == errc::not_owner || (w->stores && !w->decided.empty());
  auto changed = st_.view && st_.view->topo.changed_at[op.partition] !=
                                 st_.loop->view->topo.changed_at[op.partition];
  op.outdated = tracked && (op.outdated || changed);
  if (w)
    w->resuming = may_resume(op);
  if (w && op.outdated && !w->resuming)
    note_attempt(op);
  // Replicas that are alive but slow, as beside very large values, mostly answer a little later.
  auto may_help = [&] { return w ? why.unchanged && !w->full && in_doubt(op) : op.slow; };
  auto anew = op.outdated || (why.reason == errc::quorum_failed && may_help());
  if (resumes(op) || (anew && !st_.forwarded && budget(op).may_begin_anew(elapsed())))
    return begin_anew_later(op);
  if (w) {
    // Who forwarded it begins anew: it knows how long the client has waited.
    if (op.outdated && st_.forwarded) {
      why.reason = errc::not_owner;
      why.tried = w->tried_before;
    }
    if (w->full && why.reason == errc::quorum_failed)
      why.reason = errc::out_of_memory;
    // What was tried under other lists may show, too.
    why.unchanged = why.unchanged && !w->may_have_happened && !w->tried_before;
  }
  ++st_.loop->count.failed_requests;
  reply(op, std::move(why));
}

void batch_work::begin_anew_later(operation& op) {
  ++st_.loop->count.begun_anew;
  ++op.round;
  op.replied = true;
  if (!resumes(op))
    end_turn(op);
  ++st_.outstanding;
  auto lists_changed = op.outdated || resumes(op);
  auto pause = lists_changed ? limits::begin_anew_pause : limits::doubt_pause;
  self_->delayed_send(self_, caf::timespan{pause}, tick_atom::value, index_of(op));
}

/// Of a write: somebody was lost just now, or only this node does not reach a replica, as far as it
/// knows: in a moment it knows more.
bool batch_work::in_doubt(const operation& op) const {
  auto& now = st_.loop->view;
  auto nodes = now->replica_places(op.partition);
  return op.write->doubtful ||
         std::any_of(nodes.begin(), nodes.end(), [&](auto x) { return now->unsure[x]; });
}

/// What was decided may be somewhere. Where nobody has accepted it, it is nowhere.
void batch_work::note_attempt(operation& op) {
  auto& w = *op.write;
  if (w.decided.empty() || !w.stores)
    return;
  if (w.held && w.stores->failure().unchanged)
    return;
  w.tried_before = attempt_of(op, known_until(op));
}

/// See attempt.
timestamp batch_work::known_until(const operation& op) const {
  auto& w = *op.write;
  if (!w.held)
    return is_replica(op) ? UINT64_MAX : 0;
  return w.stores->held() ? st_.loop->context().now() : 0;
}

attempt_ptr batch_work::attempt_of(const operation& op, timestamp known_until) {
  auto& w = *op.write;
  return std::make_shared<const attempt>(
      attempt{latest(w.decided)->written, w.base, w.result, known_until});
}

/// Another coordinator does it for the same client, under the view that this node has by now.
void batch_work::begin_anew(uint32_t index) {
  --st_.outstanding;
  auto& op = st_.operations[index];
  request_list again;
  again.began = st_.began;
  again.forwarded = st_.forwarded;
  auto& x = again.requests.emplace_back();
  x.tag = op.tag;
  x.key = op.key;
  x.quorum = op.quorum;
  if (op.write) {
    auto& w = *op.write;
    x.above = w.above;
    x.may_have_happened = w.may_have_happened;
    x.tried = w.tried_before;
    if (w.resuming)
      x.held = std::make_shared<const held_decision>(held_decision{w.decided, w.base, w.result,
                                                                   std::exchange(w.has_turn, false),
                                                                   w.stores->failure().unchanged});
    x.write = std::move(w.what);
  }
  --st_.unanswered;
  caf::send_as(caf::actor_cast<caf::actor>(st_.clients[op.client].who),
               st_.loop->take_coordinator(), std::move(again));
  send_all();
}

coordinator_state::node_calls& batch_work::node_of(member_index node) {
  for (auto& x : st_.nodes)
    if (x.node == node)
      return x;
  auto& x = st_.nodes.emplace_back();
  x.node = node;
  return x;
}

/// A vnode on the same loop answers within the turn: nothing of what a peer is for (a connection, a
/// deadline, a limit on what is under way) can happen on the way to it; but under an older view the
/// peer refuses calls about partitions that changed hands.
bool batch_work::at_hand(member_index node) const {
  return node == st_.view->self && st_.view == st_.loop->view && !st_.loop->vnodes.empty() &&
         st_.loop->context().options.storage.engine == engine_kind::memory;
}

/// Through the peer's outbox. Not for this node's own peer: it hands calls on at once, to vnodes
/// that may have threads of their own.
void batch_work::post(member_index node, call_list calls) {
  auto& box = st_.view->outboxes[node];
  box->lots.push_back({caf::actor_cast<caf::strong_actor_ptr>(self_), std::move(calls)});
  flush_at_turn_end(self_, box, st_.view->peers[node], *st_.loop);
}

void batch_work::send_all() {
  for (auto& x : st_.nodes) {
    if (x.pending.calls.empty())
      continue;
    auto calls = std::exchange(x.pending, {});
    if (at_hand(x.node)) {
      st_.loop->count.calls += calls.calls.size();
      send_to_vnodes(self_, *st_.loop, std::move(calls.calls),
                     caf::actor_cast<caf::strong_actor_ptr>(self_));
    } else if (x.node == st_.view->self) {
      self_->send(st_.view->peers[x.node], std::move(calls));
    } else {
      post(x.node, std::move(calls));
    }
  }
  for (auto i : st_.touched)
    self_->send(st_.clients[i].who, std::exchange(st_.clients[i].ready, {}));
  st_.touched.clear();
  if (st_.outstanding == 0)
    end();
}

/// Every call is answered by its peer: nothing can come for this batch any more.
void batch_work::end() {
  if (st_.unanswered != 0)
    CAF_CRITICAL("a coordinator ended with requests unanswered");
  st_.nodes.clear();
  st_.operations.clear();
  st_.clients.clear();
  st_.view.reset();
  st_.loop->give_back(caf::actor_cast<coordinator_actor>(self_));
}

coordinator_actor::behavior_type
coordinator(coordinator_actor::stateful_pointer<coordinator_state> self, io_loop_ptr loop) {
  self->state.loop = std::move(loop);
  self->state.loop->watch(self, &self->state);
  return {
      [self](request_list& xs) { batch_work{self}.begin(xs); },
      [self](flush_batch_atom) { batch_work{self}.begin_gathered(); },
      [self](answer_list& xs) { batch_work{self}.on_answers(xs.answers); },
      [self](answer_batch& xs) { batch_work{self}.on_answers(xs.answers); },
      [self](turn_atom, uint32_t operation) { batch_work{self}.on_turn(operation); },
      [self](tick_atom, uint32_t operation) { batch_work{self}.begin_anew(operation); },
      [self](go_on_atom, uint64_t tag, bool unchanged) { batch_work{self}.go_on(tag, unchanged); },
      [self](late_atom) {
        // The batch that was late may have ended meanwhile.
        if (self->state.unanswered > 0)
          batch_work{self}.on_late();
      },
  };
}

} // namespace kai
