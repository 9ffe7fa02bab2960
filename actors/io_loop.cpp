#include "actors/io_loop.hpp"

#include <algorithm>

#include <caf/send.hpp>

#include "actors/coordinator.hpp"
#include "actors/on_loop.hpp"
#include "protocol/hash.hpp"
#include "protocol/limits.hpp"

namespace kai {

namespace {

/// What one coordinator takes of what clients ask, or more where one client's is more. Of 16
/// requests of each of many clients the values would not stay in the processor's cache until they
/// are sent; fewer at once cost more messages than that saves.
constexpr size_t requests_at_once = 64;

/// Lets each window fetch what it will be asked for.
void expect_reads(node_context& context, const std::vector<call>& calls) {
  std::vector<std::vector<uint64_t>> hashes(context.windows.size());
  for (auto& x : calls)
    if (std::holds_alternative<read_call>(x.what))
      hashes[x.partition % hashes.size()].push_back(key_hash(x.key.view()));
  for (size_t i = 0; i < hashes.size(); ++i)
    if (hashes[i].size() > 1)
      context.windows[i]->expect(hashes[i]);
}

} // namespace

answer_batch answer_at_once(node_context& context, std::vector<call>& calls,
                            caf::actor_clock::time_point now) {
  answer_batch result;
  if (calls.size() > 1)
    expect_reads(context, calls);
  std::erase_if(calls, [&](call& x) {
    auto& window = *context.windows[x.partition % context.windows.size()];
    auto answered = window.answer_to(x, now);
    if (answered)
      result.answers.push_back(std::move(*answered));
    else
      window.pass(x);
    return answered.has_value();
  });
  if (!result.answers.empty())
    result.header = {context.now(), context.epoch()};
  return result;
}

io_loop::io_loop(caf::actor_system& sys, context_ptr context)
    : system_(sys), sockets_(dynamic_cast<socket_loop*>(loop_of(sys))),
      context_(std::move(context)) {}

std::optional<bool> io_loop::take_turn(uint64_t hash, const coordinator_actor& who,
                                       uint32_t operation) {
  auto [i, first] = turns_.try_emplace(hash);
  if (first)
    return true;
  if (i->second.size() >= limits::writers_waiting_max)
    return std::nullopt;
  i->second.push_back({who, operation});
  return false;
}

void io_loop::end_turn(uint64_t hash) {
  auto i = turns_.find(hash);
  if (i->second.empty()) {
    turns_.erase(i);
    return;
  }
  auto next = std::move(i->second.front());
  i->second.pop_front();
  caf::anon_send(next.who, turn_atom::value, next.operation);
}

void io_loop::watch(const coordinator_actor& who, coordinator_state* state) {
  if (!ended_)
    watched_.emplace_back(who, state);
}

void io_loop::tick(caf::actor_clock::time_point now) {
  for (auto& x : ticking_)
    if (auto peer = caf::actor_cast<peer_actor>(x))
      caf::anon_send(peer, tick_atom::value);
  for (auto& [who, state] : watched_)
    if (state->unanswered > 0 && !state->hedged && now - state->began > limits::hedge_after) {
      state->hedged = true;
      caf::anon_send(who, late_atom::value);
    }
  std::erase_if(ending_, [&](auto& x) {
    auto who = caf::actor_cast<caf::actor>(x.second);
    if (who && x.first <= now)
      caf::anon_send(who, abandon_atom::value);
    return !who || x.first <= now;
  });
}

void io_loop::submit(response_sink client, response_box_ptr box, request_list requests) {
  requests_.push_back({std::move(client), std::move(box), std::move(requests)});
  if (requests_.size() == 1)
    start_coordinator();
}

void io_loop::start_coordinator() {
  auto next = take_coordinator();
  if (sockets_)
    sockets_->at_round_end(caf::actor_cast<caf::strong_actor_ptr>(next));
  else
    caf::anon_send(next, flush_batch_atom::value);
}

std::vector<io_loop::client_requests> io_loop::take_requests() {
  auto end = requests_.begin();
  for (size_t sum = 0; end != requests_.end() && sum < requests_at_once; ++end)
    sum += end->requests.requests.size();
  std::vector<client_requests> rest{std::make_move_iterator(end),
                                    std::make_move_iterator(requests_.end())};
  requests_.erase(end, requests_.end());
  auto result = std::exchange(requests_, std::move(rest));
  if (!requests_.empty())
    start_coordinator();
  return result;
}

void io_loop::answer(const response_sink& client, response_box& box, response x) {
  box.ready.push_back(std::move(x));
  if (box.ready.size() == 1)
    sockets_->at_round_end(caf::actor_cast<caf::strong_actor_ptr>(client));
}

void io_loop::gather(vnode_batch calls) {
  calls_.push_back(std::move(calls));
  if (calls_.size() == 1)
    sockets_->at_round_end(caf::actor_cast<caf::strong_actor_ptr>(vnodes[0]));
}

peer_actor io_loop::find_peer(caf::actor_id id) const {
  auto i = std::find_if(ticking_.begin(), ticking_.end(), [&](auto& x) { return x.id() == id; });
  return i != ticking_.end() ? caf::actor_cast<peer_actor>(*i) : peer_actor{};
}

coordinator_actor io_loop::take_coordinator() {
  if (idle_coordinators_.empty()) {
    if (ended_) {
      // Somebody who ends too: what he sends finds nobody.
      auto late = spawn_on_loop<coordinator_actor>(system_, coordinator, shared_from_this());
      caf::anon_send_exit(late, caf::exit_reason::user_shutdown);
      return late;
    }
    coordinators_.push_back(
        spawn_on_loop<coordinator_actor>(system_, coordinator, shared_from_this()));
    return coordinators_.back();
  }
  auto result = std::move(idle_coordinators_.back());
  idle_coordinators_.pop_back();
  return result;
}

void io_loop::end_pool() {
  ended_ = true;
  // Before the answers that wait for them, which would find no view any more.
  for (auto& x : coordinators_) {
    auto who = caf::actor_cast<caf::strong_actor_ptr>(x);
    who->enqueue(nullptr, caf::make_message_id(caf::message_priority::high),
                 caf::make_message(caf::exit_msg{x.address(), caf::exit_reason::user_shutdown}),
                 nullptr);
  }
  coordinators_.clear();
  watched_.clear();
  idle_coordinators_.clear();
  requests_.clear();
  calls_.clear();
  view.reset();
  vnodes.clear();
}

} // namespace kai
