#include "actors/coordinator.hpp"

#include <algorithm>

#include <caf/raise_error.hpp>

namespace kai {

namespace {

using pointer = coordinator_actor::stateful_pointer<coordinator_state>;
using operation = coordinator_state::operation;
using stage = coordinator_state::stage;
using call_tag = coordinator_state::call_tag;

class batch_work {
public:
  explicit batch_work(pointer self) : self_(self), st_(self->state) {}

  void begin(request_list& xs);
  void on_answers(answer_list& xs);
  void on_turn(uint32_t index);

private:
  void start(operation& op);
  void start_read(operation& op);
  void start_write(operation& op);
  void lead(operation& op);
  void apply(operation& op, record base, bool conditional);

  void on_answer(operation& op, const call_tag& tag, answer& x);
  void on_read_answer(operation& op, const call_tag& tag, answer& x);
  void on_lead_answer(operation& op, answer& x);
  void on_applied(operation& op, answer& x);
  void on_store_answer(operation& op, const call_tag& tag, const answer& x);
  void read_step(operation& op, const read_core::todo& todo);
  void read_done(operation& op);
  void rewrite(operation& op, timestamp above);

  template <class Body>
  void ask(operation& op, size_t place, member_index node, stage what, Body body) {
    auto& target = node_of(node);
    call x;
    x.id = call_tag{index_of(op), op.round, static_cast<uint8_t>(place), what}.pack();
    x.partition = op.partition;
    x.key = op.key;
    x.what = std::move(body);
    target.pending.calls.push_back(std::move(x));
    ++st_.outstanding;
  }

  template <class What>
  void reply(operation& op, What what) {
    op.replied = true;
    end_turn(op);
    --st_.unanswered;
    st_.ready.responses.push_back({op.tag, std::move(what)});
  }

  void fail(operation& op, failed_answer why) {
    ++st_.loop->count.failed_requests;
    reply(op, std::move(why));
  }

  void end_turn(operation& op) {
    if (std::exchange(op.has_turn, false))
      st_.loop->end_turn(op.hash);
  }

  std::span<const member_index> places(const operation& op) const {
    return st_.view->replica_places(op.partition);
  }
  uint32_t index_of(const operation& op) const {
    return static_cast<uint32_t>(&op - st_.operations.data());
  }
  auto elapsed() const { return self_->home_system().clock().now() - st_.began; }
  bool late(const operation& op) const {
    return elapsed() >
           (conditional(op.write->kind) ? limits::attempts_until : limits::blind_attempts_until);
  }
  coordinator_state::node_calls& node_of(member_index node);
  void send_all();
  void end();

  pointer self_;
  coordinator_state& st_;
};

void batch_work::begin(request_list& xs) {
  st_.view = st_.loop->view;
  st_.origin = caf::actor_cast<response_sink>(self_->current_sender());
  st_.forwarded = xs.forwarded;
  st_.began = self_->home_system().clock().now();
  st_.unanswered = xs.requests.size();
  st_.operations.clear();
  st_.operations.reserve(xs.requests.size());
  for (auto& x : xs.requests) {
    auto& op = st_.operations.emplace_back();
    op.tag = x.tag;
    op.key = std::move(x.key);
    op.write = std::move(x.write);
    start(op);
  }
  send_all();
}

void batch_work::start(operation& op) {
  if (!st_.view)
    return fail(op, {errc::not_a_member, true, "this node is not a member of the cluster yet"});
  op.hash = key_hash(op.key.view());
  op.partition = partition_of(op.hash, st_.view->topo.settings.partitions);
  if (op.write)
    start_write(op);
  else
    start_read(op);
}

/// The record comes from this node when it is a replica, else from the first that is alive.
void batch_work::start_read(operation& op) {
  auto nodes = places(op);
  auto choice = std::find(nodes.begin(), nodes.end(), st_.view->self);
  if (choice == nodes.end())
    choice = std::find_if(nodes.begin(), nodes.end(),
                          [&](member_index x) { return st_.view->alive[x]; });
  if (choice == nodes.end())
    choice = nodes.begin();
  auto record_place = static_cast<size_t>(choice - nodes.begin());
  op.read.emplace(nodes.size(), st_.view->read_quorum, record_place);
  for (size_t i = 0; i < nodes.size(); ++i)
    ask(op, i, nodes[i], stage::read, read_call{i != record_place});
}

/// Goes to the first live replica that was not tried; here, when that is this node.
void batch_work::start_write(operation& op) {
  end_turn(op);
  auto nodes = places(op);
  if (st_.forwarded) {
    if (std::find(nodes.begin(), nodes.end(), st_.view->self) == nodes.end())
      return fail(op, {errc::not_owner, true, "asked to lead a write of another node's key"});
    return lead(op);
  }
  auto leader = std::find_if(nodes.begin(), nodes.end(), [&](member_index x) {
    return st_.view->alive[x] && std::find(op.tried.begin(), op.tried.end(), x) == op.tried.end();
  });
  if (leader == nodes.end())
    return fail(op,
                {errc::quorum_failed, true, quorum_text(0, nodes.size(), st_.view->write_quorum)});
  op.tried.push_back(*leader);
  if (*leader == st_.view->self)
    return lead(op);
  ++st_.loop->count.forwarded;
  ask(op, static_cast<size_t>(leader - nodes.begin()), *leader, stage::forward,
      lead_call{*op.write});
}

void batch_work::lead(operation& op) {
  ++st_.loop->count.led;
  if (!conditional(op.write->kind))
    return apply(op, {}, false);
  if (op.has_turn)
    return start_read(op);
  auto turn = st_.loop->take_turn(op.hash, caf::actor_cast<coordinator_actor>(self_), index_of(op));
  if (!turn)
    return fail(op, {errc::overloaded, true, "too many writers of one key"});
  op.has_turn = *turn;
  if (op.has_turn)
    start_read(op);
  else
    ++st_.outstanding;
}

void batch_work::on_turn(uint32_t index) {
  --st_.outstanding;
  auto& op = st_.operations[index];
  op.has_turn = true;
  if (elapsed() > limits::turn_wait_max)
    fail(op, {errc::contended, true, "too many writers of one key"});
  else
    start_read(op);
  send_all();
}

void batch_work::apply(operation& op, record base, bool conditional) {
  op.read.reset();
  auto nodes = places(op);
  auto own = std::find(nodes.begin(), nodes.end(), st_.view->self);
  ask(op, static_cast<size_t>(own - nodes.begin()), st_.view->self, stage::apply,
      apply_call{*op.write, std::move(base), conditional});
}

void batch_work::on_answers(answer_list& xs) {
  for (auto& x : xs.answers) {
    --st_.outstanding;
    auto tag = call_tag::unpack(x.id);
    auto& op = st_.operations[tag.operation];
    if (tag.round == op.round)
      on_answer(op, tag, x);
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
  }
}

void batch_work::on_read_answer(operation& op, const call_tag& tag, answer& x) {
  if (!op.read)
    return;
  if (auto y = std::get_if<digest_answer>(&x.what))
    read_step(op, op.read->on_digest(tag.place, *y));
  else if (auto y = std::get_if<record_answer>(&x.what))
    read_step(op, op.read->on_record(tag.place, op.key.view(), *y));
  else if (std::holds_alternative<stored_answer>(x.what))
    read_step(op, op.read->on_stored(tag.place));
  else if (auto y = std::get_if<failed_answer>(&x.what))
    read_step(op, op.read->on_failure(tag.place, *y));
}

void batch_work::read_step(operation& op, const read_core::todo& todo) {
  auto nodes = places(op);
  for (size_t i = 0; (todo.fetch | todo.store) >> i; ++i) {
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
  // What cannot see the key's state does not act on it; only `delete` goes on, as `set` would
  // (promise 3).
  if (op.write->kind == mutation_kind::remove)
    return apply(op, {}, false);
  auto why = core.failure();
  why.unchanged = true;
  fail(op, std::move(why));
}

void batch_work::on_lead_answer(operation& op, answer& x) {
  if (auto y = std::get_if<lead_answer>(&x.what))
    return reply(op, std::move(y->result));
  auto why = std::get_if<failed_answer>(&x.what);
  if (!why)
    return fail(op, {errc::malformed, false, "the leader's answer was of another kind"});
  if ((why->unchanged || repeatable(op.write->kind)) && !late(op) &&
      why->reason != errc::quorum_failed) {
    ++op.round;
    return start_write(op);
  }
  fail(op, std::move(*why));
}

void batch_work::on_applied(operation& op, answer& x) {
  auto y = std::get_if<applied_answer>(&x.what);
  if (!y) {
    auto why = std::get<failed_answer>(std::move(x.what));
    // Replicas have it already, under the dot that was too low.
    if (op.rewriting)
      return fail(op, {why.reason, false, std::move(why.message)});
    auto again =
        why.reason == errc::contended && op.round < limits::conditional_rounds_max && !late(op);
    if (!again)
      return why.unchanged && !st_.forwarded && !late(op) ? (++op.round, start_write(op))
                                                          : fail(op, std::move(why));
    ++st_.loop->count.contended;
    ++op.round;
    return lead(op);
  }
  if (std::exchange(op.rewriting, false))
    op.result.cas = y->result.cas;
  else
    op.result = std::move(y->result);
  if (y->value.empty())
    return reply(op, std::move(op.result));
  op.decided = std::move(y->value);
  auto nodes = places(op);
  op.stores.emplace(nodes.size(), st_.view->write_quorum);
  auto done = false;
  for (size_t i = 0; i < nodes.size(); ++i) {
    if (nodes[i] == st_.view->self)
      done = op.stores->on_stored(i) == write_core::verdict::done;
    else
      ask(op, i, nodes[i], stage::store, store_call{op.decided});
  }
  if (done)
    reply(op, std::move(op.result));
}

void batch_work::on_store_answer(operation& op, const call_tag& tag, const answer& x) {
  auto why = std::get_if<failed_answer>(&x.what);
  auto stored = std::get_if<stored_answer>(&x.what);
  if (stored && stored->shadowed_by != 0 && !op.replied)
    return rewrite(op, stored->shadowed_by);
  auto verdict = why ? op.stores->on_failure(tag.place, *why) : op.stores->on_stored(tag.place);
  if (verdict == write_core::verdict::done)
    reply(op, std::move(op.result));
  else if (verdict == write_core::verdict::failed)
    fail(op, op.stores->failure());
}

/// A replica has a version from another leader whose clock was ahead of this one's: an answer now
/// would promise what no reader sees. The same once more, above that clock.
void batch_work::rewrite(operation& op, timestamp above) {
  st_.loop->context().clock.observe(above);
  ++st_.loop->count.rewrites;
  if (++op.round > limits::conditional_rounds_max)
    return fail(op, {errc::contended, false, "other writers kept being ahead"});
  op.rewriting = true;
  auto own = std::find(places(op).begin(), places(op).end(), st_.view->self);
  ask(op, static_cast<size_t>(own - places(op).begin()), st_.view->self, stage::apply,
      apply_call{rewrite_of(*latest(op.decided)), {}, false});
}

coordinator_state::node_calls& batch_work::node_of(member_index node) {
  for (auto& x : st_.nodes)
    if (x.node == node)
      return x;
  auto& x = st_.nodes.emplace_back();
  x.node = node;
  x.worker = st_.loop->take_replica_call();
  return x;
}

void batch_work::send_all() {
  for (uint32_t i = 0; i < st_.nodes.size(); ++i) {
    auto& x = st_.nodes[i];
    if (x.pending.calls.empty())
      continue;
    auto calls = std::exchange(x.pending, {});
    if (std::exchange(x.started, true))
      self_->send(x.worker, std::move(calls));
    else
      self_->send(x.worker, start_atom::value, i, st_.view->peers[x.node], std::move(calls));
  }
  if (!st_.ready.responses.empty())
    self_->send(st_.origin, std::exchange(st_.ready, {}));
  if (st_.outstanding == 0)
    end();
}

/// Every call is answered by its peer: nothing can come for this batch any more.
void batch_work::end() {
  if (st_.unanswered != 0)
    CAF_CRITICAL("a coordinator ended with requests unanswered");
  for (auto& x : st_.nodes)
    st_.loop->give_back(std::move(x.worker));
  st_.nodes.clear();
  st_.operations.clear();
  st_.origin = nullptr;
  st_.view.reset();
  st_.loop->give_back(caf::actor_cast<coordinator_actor>(self_));
}

} // namespace

coordinator_actor::behavior_type coordinator(pointer self, io_loop_ptr loop) {
  self->state.loop = std::move(loop);
  return {
      [self](request_list& xs) { batch_work{self}.begin(xs); },
      [self](answer_list& xs) { batch_work{self}.on_answers(xs); },
      [self](turn_atom, uint32_t operation) { batch_work{self}.on_turn(operation); },
  };
}

} // namespace kai
