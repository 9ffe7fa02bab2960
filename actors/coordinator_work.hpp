#pragma once

#include <algorithm>
#include <bit>

#include "actors/coordinator.hpp"

namespace kai {

inline failed_answer too_many_writers() {
  return {errc::contended, true, "too many writers of one key"};
}

/// In place of an answer of another kind than was asked for.
inline failed_answer foreign_answer() {
  return {errc::malformed, false, "a member's answer was of another kind"};
}

/// The work of a coordinator on its batch, one object per message: reads, answers and sending are
/// in coordinator.cpp, writes in coordinator_writes.cpp.
class batch_work {
public:
  using pointer = coordinator_actor::stateful_pointer<coordinator_state>;
  using operation = coordinator_state::operation;
  using stage = coordinator_state::stage;
  using call_tag = coordinator_state::call_tag;

  explicit batch_work(pointer self) : self_(self), st_(self->state) {}

  void begin(request_list& xs);
  void begin_gathered();
  void on_answers(std::vector<answer>& xs);
  void on_turn(uint32_t index);
  void begin_anew(uint32_t index);
  void go_on(uint64_t tag, bool unchanged);
  void on_late();

private:
  void begin_batch(bool forwarded, std::optional<caf::actor_clock::time_point> began);
  void start(response_sink client, response_box_ptr box, request_list& xs);
  void start(operation& op, const held_decision* held);
  void start_read(operation& op);
  void start_write(operation& op);
  void lead(operation& op);
  void apply(operation& op, record base, bool conditional);
  void ask_own_vnode(operation& op, mutation what, record base, bool conditional);
  void spread(operation& op, bool held, bool nowhere = true);
  void stand_in(operation& op, size_t place, bool unchanged, bool confirmed);
  void on_lost(operation& op, size_t place, bool unchanged, bool waited);

  void on_answer(operation& op, const call_tag& tag, answer& x);
  void on_read_answer(operation& op, const call_tag& tag, answer& x);
  void on_lead_answer(operation& op, answer& x);
  void try_next_leader(operation& op, failed_answer why);
  void go_on_in(const operation& op, std::chrono::microseconds wait, size_t place, stage what,
                bool unchanged);
  void on_applied(operation& op, answer& x);
  void on_store_answer(operation& op, const call_tag& tag, const answer& x);
  void on_hint_answer(operation& op, const call_tag& tag, const answer& x);
  void settle(operation& op, write_core::verdict x);
  void commit(operation& op);
  void release(operation& op);
  void note_unstored(operation& op, const call_tag& tag, const answer& x);
  bool may_resume(const operation& op) const;
  /// What was decided is placed under newer lists, by the next coordinator.
  static bool resumes(const operation& op) { return op.write && op.write->resuming; }
  void resume(operation& op, const held_decision& x);
  void decide_anew(operation& op);
  void read_step(operation& op, const read_core::todo& todo);
  void read_done(operation& op);
  void rewrite(operation& op, timestamp above);

  template <class Body>
  void ask(operation& op, size_t place, member_index node, stage what, Body body) {
    auto& calls = node_of(node).pending.calls;
    // Most nodes have to do with most operations of a batch.
    if (calls.empty())
      calls.reserve(std::max<size_t>(st_.unanswered, 1));
    auto id = call_tag{index_of(op), op.round, static_cast<uint8_t>(place), what}.pack();
    calls.push_back(
        {id, op.partition, op.key, std::move(body), st_.view->topo.changed_at[op.partition]});
    ++st_.outstanding;
  }

  template <class What>
  void reply(operation& op, What what) {
    op.replied = true;
    end_turn(op);
    --st_.unanswered;
    auto& client = st_.clients[op.client];
    if (client.box)
      return st_.loop->answer(client.who, *client.box, {op.tag, std::move(what)});
    auto& ready = client.ready.responses;
    if (ready.empty())
      st_.touched.push_back(op.client);
    ready.push_back({op.tag, std::move(what)});
  }

  void fail(operation& op, failed_answer why);
  void begin_anew_later(operation& op);
  bool in_doubt(const operation& op) const;
  void note_attempt(operation& op);
  timestamp known_until(const operation& op) const;
  static attempt_ptr attempt_of(const operation& op, timestamp known_until);
  /// A node was slow, or knows of other lists than this operation: which may be why it fails.
  void note_refusal(operation& op, const call_tag& tag, const answer& x) {
    auto why = std::get_if<failed_answer>(&x.what);
    if (!why)
      return;
    op.slow = op.slow || why->reason == errc::timed_out;
    // Its own node is never down: it is no member any more, which the view is about to say.
    auto own = tag.what == stage::store && places(op)[tag.place] == st_.view->self;
    op.outdated = op.outdated || (own && why->reason == errc::peer_down && why->unchanged);
    if (why->reason != errc::not_owner)
      return;
    op.outdated = true;
    if (why->tried && op.write)
      op.write->tried_before = why->tried;
  }

  void end_turn(operation& op) {
    if (op.write && std::exchange(op.write->has_turn, false))
      st_.loop->end_turn(op.hash);
  }

  std::span<const member_index> places(const operation& op) const {
    return st_.view->replica_places(op.partition);
  }
  quorum_rule write_rule(const operation& op) const {
    return as_wanted(st_.view->write_rule(op.partition), op.write->what.quorum);
  }
  bool may_begin(const operation& op) const;
  /// Whether a decision of this node waits at its own vnode until others have accepted it.
  bool may_hold(const operation& op) const {
    auto rule = write_rule(op);
    return is_replica(op) && std::max(rule.needed, rule.target_needed) > 1;
  }
  bool is_replica(const operation& op) const {
    return st_.view->owns(st_.view->self, op.partition);
  }
  /// The client may want another number of replicas than the cluster's, for this request.
  static quorum_rule as_wanted(quorum_rule rule, uint8_t wanted) {
    if (wanted == 0)
      return rule;
    rule.needed = std::min(wanted, rule.replicas);
    if (rule.target != 0)
      rule.target_needed = std::min(wanted, static_cast<uint8_t>(std::popcount(rule.target)));
    return rule;
  }
  uint32_t index_of(const operation& op) const {
    return static_cast<uint32_t>(&op - st_.operations.data());
  }
  auto elapsed() const { return self_->home_system().clock().now() - st_.began; }
  time_budget budget(const operation& op) const {
    return op.write ? time_budget{op.write->what, st_.forwarded} : time_budget{};
  }
  decision_time from_now(std::chrono::microseconds x) const {
    auto& context = st_.loop->context();
    auto wall = context.wall_clock();
    auto within = static_cast<timestamp>(x.count());
    return {context.clock.now(wall) + within, wall + within};
  }
  bool came_too_late(const operation& op, const failed_answer& why) const;
  coordinator_state::node_calls& node_of(member_index node);
  bool at_hand(member_index node) const;
  void post(member_index node, call_list calls);
  void send_all();
  void end();

  pointer self_;
  coordinator_state& st_;
};

} // namespace kai
