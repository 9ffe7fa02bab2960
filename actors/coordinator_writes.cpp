// long: all steps of one write, in the order in which they come
#include "actors/coordinator_work.hpp"

namespace kai {

/// Goes to the first live replica that was not tried, or, where there is none and the write can do
/// without, to the first live stand-in; here, when that is this node.
void batch_work::start_write(operation& op) {
  auto& w = *op.write;
  end_turn(op);
  auto blindly = always_writable(w.what);
  if (st_.forwarded) {
    if (!blindly && !is_replica(op))
      return fail(op, {errc::not_owner, true, "asked to lead a write of another node's key"});
    return lead(op);
  }
  auto& view = *st_.view;
  auto among = blindly && !w.refused ? view.preference(op.partition) : places(op);
  auto leader = choose_leader(among, view.alive, w.tried);
  if (!leader) {
    auto rule = view.write_rule(op.partition);
    return fail(op, {errc::quorum_failed, true, quorum_text(0, rule.replicas, rule.needed)});
  }
  w.tried.push_back(*leader);
  if (*leader == view.self)
    return lead(op);
  ++st_.loop->count.forwarded;
  w.decides = from_now(decide_within(w.what));
  ask(op, 0, *leader, stage::forward,
      lead_call{w.what, w.above, w.decides.until, w.tried_before,
                budget(op).patience_for_leader(elapsed())});
}

void batch_work::lead(operation& op) {
  auto& w = *op.write;
  auto& view = *st_.view;
  if (!may_begin(op)) {
    auto rule = view.write_rule(op.partition);
    failed_answer why{errc::quorum_failed, true, quorum_text(0, rule.replicas, rule.needed)};
    return st_.forwarded ? fail(op, std::move(why)) : try_next_leader(op, std::move(why));
  }
  ++st_.loop->count.led;
  st_.loop->context().observe(w.above);
  if (!st_.forwarded)
    w.decides = from_now(decide_within(w.what));
  // What was tried before may have happened: that has to be seen first.
  if ((!conditional(w.what) && !w.tried_before) || w.above != 0)
    return apply(op, {}, false);
  if (w.has_turn)
    return start_read(op);
  auto turn = st_.loop->take_turn(op.hash, caf::actor_cast<coordinator_actor>(self_), index_of(op));
  if (!turn)
    return fail(op, {errc::overloaded, true, too_many_writers().message});
  w.has_turn = *turn;
  w.queued = w.queued || !w.has_turn;
  if (w.has_turn)
    start_read(op);
  else
    ++st_.outstanding;
}

/// In each list: see kai::may_begin.
bool batch_work::may_begin(const operation& op) const {
  auto& view = *st_.view;
  auto rule = view.write_rule(op.partition);
  if (!kai::may_begin(view.replicas(op.partition), view.alive, view.unsure, rule.needed))
    return false;
  if (rule.target == 0)
    return true;
  per_place<member_index> target;
  for (size_t i = 0; i < rule.places; ++i)
    if (rule.in_target(i))
      target.push_back(places(op)[i]);
  return kai::may_begin({target.data(), target.size()}, view.alive, view.unsure,
                        rule.target_needed);
}

void batch_work::apply(operation& op, record base, bool conditional) {
  auto& w = *op.write;
  op.read.reset();
  w.sole = conditional;
  ask_own_vnode(op, w.what, std::move(base), conditional);
}

/// Not later than this coordinator, or the one that forwarded the write, waits for the decision.
void batch_work::ask_own_vnode(operation& op, mutation what, record base, bool conditional) {
  auto& w = *op.write;
  auto own = from_now(limits::call_deadline + extra_for(what.value.size()));
  if (w.decides.until != 0)
    own.until = std::min(own.until, w.decides.until);
  w.decides = own;
  ask(op, 0, st_.view->self, stage::apply,
      apply_call{std::move(what), std::move(base), conditional, !is_replica(op), w.decides.until,
                 conditional && may_hold(op), w.rewriting ? nullptr : w.tried_before});
}

/// The leader refused because by its clock it came too late, but somebody waits still: its clock
/// was far ahead of this one's. Its answer has brought its time.
bool batch_work::came_too_late(const operation& op, const failed_answer& why) const {
  return why.reason == errc::timed_out && why.unchanged &&
         budget(op).may_decide_again(elapsed(), op.round, false);
}

void batch_work::on_lead_answer(operation& op, answer& x) {
  auto& w = *op.write;
  if (auto y = std::get_if<lead_answer>(&x.what))
    return reply(op, std::move(y->result));
  auto why = std::get_if<failed_answer>(&x.what);
  if (!why)
    return fail(op, foreign_answer());
  // Under other lists somebody else may lead.
  if (why->reason == errc::not_owner)
    return fail(op, std::move(*why));
  if (came_too_late(op, *why)) {
    w.tried.pop_back();
    ++op.round;
    return start_write(op);
  }
  try_next_leader(op, std::move(*why));
}

void batch_work::try_next_leader(operation& op, failed_answer why) {
  auto& w = *op.write;
  auto& context = st_.loop->context();
  lost_leader lost;
  lost.silent = why.reason == errc::peer_down || why.reason == errc::timed_out;
  lost.unchanged = why.unchanged;
  lost.repeatable = repeatable(w.what);
  lost.contended = why.reason == errc::contended;
  lost.last = !choose_leader(places(op), st_.view->alive, w.tried);
  lost.decides = w.decides;
  lost.now = context.now();
  lost.wall_now = context.wall_clock();
  auto next = ask_next_leader(lost, budget(op), elapsed());
  if (!next)
    return fail(op, std::move(why));
  w.above = std::max(w.above, next->above);
  if (next->all_again)
    w.tried.clear();
  w.may_have_happened = w.may_have_happened || !why.unchanged;
  w.doubtful = w.doubtful || lost.silent ||
               (always_writable(w.what) && why.reason == errc::quorum_failed && why.unchanged);
  w.refused = w.refused || !lost.silent;
  w.full = w.full || why.reason == errc::out_of_memory;
  ++op.round;
  if (next->wait.count() == 0)
    return start_write(op);
  go_on_in(op, next->wait, 0, stage::forward, false);
}

void batch_work::on_applied(operation& op, answer& x) {
  auto& w = *op.write;
  auto y = std::get_if<applied_answer>(&x.what);
  if (!y) {
    auto why = std::get<failed_answer>(std::move(x.what));
    // Replicas have it already, under the dot that was too low.
    if (w.rewriting)
      return fail(op, {why.reason, false, std::move(why.message)});
    auto late = why.reason == errc::timed_out && why.unchanged;
    // It was not the way that was too long.
    if (late && w.queued)
      why = too_many_writers();
    if (why.reason == errc::not_owner)
      return fail(op, std::move(why));
    // Whoever forwarded it has said until when: another round here would only keep others waiting.
    auto again = (late ? !st_.forwarded : why.reason == errc::contended) &&
                 budget(op).may_decide_again(elapsed(), op.round, w.tried_before != nullptr);
    if (!again)
      return st_.forwarded ? fail(op, std::move(why)) : try_next_leader(op, std::move(why));
    ++st_.loop->count.contended;
    ++op.round;
    return lead(op);
  }
  if (std::exchange(w.rewriting, false))
    w.result.cas = y->result.cas;
  else
    w.result = std::move(y->result);
  if (y->value.empty())
    return reply(op, std::move(w.result));
  w.decided = std::move(y->value);
  w.base = y->base;
  spread(op, w.sole && may_hold(op));
}

/// Brings what was decided to all replicas, or to those who stand in for them. `nowhere`: nobody
/// was asked before who may have it.
void batch_work::spread(operation& op, bool held, bool nowhere) {
  auto& w = *op.write;
  auto nodes = places(op);
  auto rule = write_rule(op);
  auto own =
      static_cast<size_t>(std::find(nodes.begin(), nodes.end(), st_.view->self) - nodes.begin());
  w.held = held;
  w.stores = held ? write_core::of_decision(rule, own, nowhere) : write_core{rule};
  w.fallbacks = {};
  w.hints_due = 0;
  for (size_t i = 0; i < nodes.size(); ++i) {
    if (i == own && held)
      continue;
    if (i == own)
      settle(op, w.stores->on_stored(i));
    else if (st_.view->alive[nodes[i]])
      ask(op, i, nodes[i], stage::store, store_call{w.decided, w.sole});
    else
      stand_in(op, i, true, !st_.view->unsure[nodes[i]]);
  }
  if (held)
    settle(op, w.stores->on_asked());
}

/// The replica of the place is down: the next stand-in keeps a hint for it. `unchanged`: the
/// replica has certainly not stored it. Where there is none, sync will bring it. `confirmed`: the
/// replica is down for others, too.
void batch_work::stand_in(operation& op, size_t place, bool unchanged, bool confirmed) {
  auto& w = *op.write;
  auto& view = *st_.view;
  if (w.stores->held()) {
    w.hints_due |= 1u << place;
    return settle(op, w.stores->on_replica_down(place, true, unchanged, confirmed));
  }
  std::optional<member_index> node;
  if (op.replied || budget(op).may_call(elapsed()))
    node = w.fallbacks.next(view.preference(op.partition), places(op).size(), view.alive);
  settle(op, w.stores->on_replica_down(place, node.has_value(), unchanged, confirmed));
  if (node)
    ask(op, place, *node, stage::hint,
        hint_call{view.topo.members[places(op)[place]].name, w.decided});
}

/// The replica was lost while it was asked: what is heard of it decides, now or in a moment.
void batch_work::on_lost(operation& op, size_t place, bool unchanged, bool waited) {
  auto& w = *op.write;
  auto replica = places(op)[place];
  auto& now = *st_.loop->view;
  lost_replica x;
  x.same_lists = now.topo.epoch == st_.view->topo.epoch;
  if (x.same_lists) {
    x.alive = now.alive[replica];
    x.unsure = now.unsure[replica];
  }
  x.waited = waited;
  x.time = budget(op).may_call(elapsed());
  switch (next_step(x)) {
  case lost_step::count_hint: return stand_in(op, place, unchanged, true);
  case lost_step::count_nothing: return stand_in(op, place, unchanged, false);
  case lost_step::wait: break;
  case lost_step::ask_again:
    w.stores->on_lost(unchanged);
    return ask(op, place, replica, stage::store, store_call{w.decided, w.sole});
  }
  go_on_in(op, limits::doubt_pause, place, stage::store, unchanged);
}

/// As if the answer to the call came again after this time.
void batch_work::go_on_in(const operation& op, std::chrono::microseconds wait, size_t place,
                          stage what, bool unchanged) {
  ++st_.outstanding;
  auto tag = call_tag{index_of(op), op.round, static_cast<uint8_t>(place), what}.pack();
  self_->delayed_send(self_, caf::timespan{wait}, go_on_atom::value, tag, unchanged);
}

/// `unchanged`: the replica that was lost has certainly not stored it.
void batch_work::go_on(uint64_t packed, bool unchanged) {
  --st_.outstanding;
  auto tag = call_tag::unpack(packed);
  auto& op = st_.operations[tag.operation];
  if (tag.round == op.round && tag.what == stage::store)
    on_lost(op, tag.place, unchanged, true);
  else if (tag.round == op.round)
    start_write(op);
  send_all();
}

void batch_work::on_store_answer(operation& op, const call_tag& tag, const answer& x) {
  auto& w = *op.write;
  if (auto why = std::get_if<failed_answer>(&x.what)) {
    if (why->reason == errc::peer_down && !w.held)
      return on_lost(op, tag.place, why->unchanged, false);
    if (why->reason == errc::peer_down)
      return stand_in(op, tag.place, why->unchanged, !st_.view->unsure[places(op)[tag.place]]);
    if (why->reason == errc::contended)
      return settle(op, w.stores->on_refused(tag.place));
    return settle(op, w.stores->on_failure(tag.place, *why));
  }
  auto stored = std::get_if<stored_answer>(&x.what);
  if (!stored)
    return settle(op, w.stores->on_failure(tag.place, foreign_answer()));
  if (!op.replied && w.stores->must_rewrite(*stored, w.sole))
    return rewrite(op, stored->shadowed_by);
  // The value's cas unique will be another than the leader, who missed a version, has said.
  if (stored->siblings)
    w.siblings = !w.siblings
                     ? stored->siblings
                     : std::make_shared<const record>(merge(*w.siblings, *stored->siblings));
  settle(op, w.stores->on_stored(tag.place));
}

void batch_work::on_hint_answer(operation& op, const call_tag& tag, const answer& x) {
  auto& w = *op.write;
  auto why = std::get_if<failed_answer>(&x.what);
  if (std::holds_alternative<stored_answer>(x.what))
    settle(op, w.stores->on_hint(tag.place));
  else if (!why)
    settle(op, w.stores->on_failure(tag.place, foreign_answer()));
  else if (why->reason == errc::peer_down)
    stand_in(op, tag.place, why->unchanged, true);
  else
    settle(op, w.stores->on_failure(tag.place, *why));
}

void batch_work::settle(operation& op, write_core::verdict x) {
  auto& w = *op.write;
  switch (x) {
  case write_core::verdict::wait: break;
  case write_core::verdict::commit: return commit(op);
  case write_core::verdict::done:
    if (w.siblings)
      w.result.cas = cas_unique_beside(w.result.cas, w.decided, *w.siblings);
    return reply(op, std::move(w.result));
  case write_core::verdict::failed: w.unplaced = true;
  }
  // Where lists changed, those who have not answered yet tell whether anybody has it.
  auto may_be_nowhere = w.held && op.outdated && !w.stores->finished();
  if (w.unplaced && !op.replied && !may_be_nowhere)
    decide_anew(op);
}

/// Enough other replicas have accepted the decision.
void batch_work::commit(operation& op) {
  auto& w = *op.write;
  auto nodes = places(op);
  auto own = std::find(nodes.begin(), nodes.end(), st_.view->self) - nodes.begin();
  ask(op, static_cast<size_t>(own), st_.view->self, stage::store, store_call{w.decided, true});
  for (size_t i = 0; i < nodes.size(); ++i)
    if (w.hints_due >> i & 1)
      stand_in(op, i, true, !st_.view->unsure[nodes[i]]);
}

void batch_work::release(operation& op) {
  ask(op, 0, st_.view->self, stage::release, release_call{latest(op.write->decided)->written});
}

/// This node's vnode still holds what it was to store, for the lists have changed.
void batch_work::note_unstored(operation& op, const call_tag& tag, const answer& x) {
  if (tag.what != stage::store || !op.write->held)
    return;
  auto why = std::get_if<failed_answer>(&x.what);
  auto own = places(op)[tag.place] == st_.view->self;
  op.write->unstored = op.write->unstored || (own && why && why->reason == errc::not_owner);
}

bool batch_work::may_resume(const operation& op) const {
  auto& w = *op.write;
  return op.outdated && w.held && !st_.loop->context().left && budget(op).may_begin_anew(elapsed());
}

void batch_work::resume(operation& op, const held_decision& x) {
  auto& w = *op.write;
  w.decided = x.decided;
  w.base = x.base;
  w.result = x.result;
  w.has_turn = x.has_turn;
  w.sole = true;
  if (is_replica(op))
    return spread(op, true, x.nowhere);
  // Somebody else has to lead it now.
  if (!x.nowhere)
    w.tried_before = attempt_of(op, st_.loop->context().now());
  release(op);
  op.outdated = true;
  fail(op, {errc::not_owner, x.nowhere, "the partition's replicas are others"});
}

/// Two leaders decided at the same time, and the other one's decision reached replicas first:
/// decided once more, on top of that, and of what those have who accepted the first decision.
void batch_work::decide_anew(operation& op) {
  auto& w = *op.write;
  w.unplaced = false;
  // Not stored, or refused because the lists have changed.
  auto held = w.stores->held() || std::exchange(w.unstored, false);
  auto anew = w.stores->refused() &&
              budget(op).may_decide_again(elapsed(), op.round, w.tried_before != nullptr);
  if (!anew)
    fail(op, w.stores->failure());
  else if (!w.stores->only_refused())
    w.tried_before = attempt_of(op, known_until(op));
  if (held && !w.resuming)
    release(op);
  if (!anew)
    return;
  w.decided = {};
  w.held = false;
  ++st_.loop->count.contended;
  ++op.round;
  lead(op);
}

/// An answer now would promise what no reader sees (write_core::must_rewrite). The same once more,
/// above that clock; what replaced it lies below the one that the answer brought.
void batch_work::rewrite(operation& op, timestamp above) {
  auto& w = *op.write;
  st_.loop->context().clock.observe(above);
  ++st_.loop->count.rewrites;
  if (++op.round > limits::conditional_rounds_max)
    return fail(op, {errc::contended, false, "other writers kept being ahead"});
  w.rewriting = true;
  if (!st_.forwarded)
    w.decides = {};
  ask_own_vnode(op, rewrite_of(*latest(w.decided)), {}, false);
}

} // namespace kai
