#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include <caf/stateful_actor.hpp>
#include <caf/typed_event_based_actor.hpp>

#include "actors/cluster_view.hpp"
#include "actors/node_context.hpp"
#include "actors/reply_routes.hpp"
#include "actors/socket_loop.hpp"
#include "protocol/memcache/access_marks.hpp"
#include "protocol/memcache/credentials.hpp"

namespace kai {

struct connection_state;
struct coordinator_state;

/// What happened on the request path since the start (or `stats reset`). Written on the loop's
/// thread only.
struct counters {
  uint64_t curr_connections = 0;
  uint64_t total_connections = 0;
  uint64_t rejected_connections = 0;
  uint64_t cmd_get = 0;
  uint64_t cmd_set = 0;
  uint64_t cmd_flush = 0;
  uint64_t cmd_touch = 0;
  uint64_t cmd_meta = 0;
  uint64_t get_hits = 0;
  uint64_t get_misses = 0;
  uint64_t get_expired = 0;
  uint64_t get_flushed = 0;
  uint64_t delete_hits = 0;
  uint64_t delete_misses = 0;
  uint64_t incr_hits = 0;
  uint64_t incr_misses = 0;
  uint64_t decr_hits = 0;
  uint64_t decr_misses = 0;
  uint64_t cas_hits = 0;
  uint64_t cas_misses = 0;
  uint64_t cas_badval = 0;
  uint64_t touch_hits = 0;
  uint64_t touch_misses = 0;
  uint64_t auth_cmds = 0;
  uint64_t auth_errors = 0;
  uint64_t bytes_read = 0;
  uint64_t bytes_written = 0;
  uint64_t too_large = 0;
  uint64_t no_memory = 0;
  /// Writes that put a value in its place.
  uint64_t stored = 0;
  /// Reading stopped because the client had too much under way, or took too little.
  uint64_t reads_paused = 0;
  /// Values that came when there was no room for them, and were to be read again.
  uint64_t reads_repeated = 0;
  /// SERVER_ERRORs of the cluster.
  uint64_t failed_requests = 0;
  uint64_t calls = 0;
  uint64_t calls_failed = 0;
  /// Records that were asked of another replica because the first was late.
  uint64_t calls_hedged = 0;
  /// Reads that a read window answered in a vnode's place.
  uint64_t reads_cached = 0;
  uint64_t calls_timed_out = 0;
  uint64_t calls_refused = 0;
  /// Nodes that fell silent for limits::suspect_after.
  uint64_t suspicions = 0;
  uint64_t batches = 0;
  uint64_t forwarded = 0;
  uint64_t led = 0;
  uint64_t contended = 0;
  uint64_t rewrites = 0;
  /// Requests that began again because their partition's lists changed under them.
  uint64_t begun_anew = 0;
  uint64_t read_repairs = 0;
  uint64_t siblings_seen = 0;
};

/// Answers for one client, which its connection takes at the end of a round: those that several
/// nodes bring in one round are mostly in order then, and leave as one.
struct response_box {
  std::vector<response> ready;
};

using response_box_ptr = std::shared_ptr<response_box>;

/// What the actors of one I/O loop share, on its thread only: the view in force, the counters, and
/// the free list of coordinators, which serve one batch of requests each. Those end often, and a
/// spawn costs more than a message: an ended one waits here for the next batch.
class io_loop : public std::enable_shared_from_this<io_loop> {
public:
  io_loop(caf::actor_system& sys, context_ptr context);

  caf::actor_system& system() { return system_; }
  /// Null where there are no sockets, under CAF's test scheduler.
  socket_loop* sockets() { return sockets_; }
  node_context& context() { return *context_; }

  /// Null until the node is a member.
  view_ptr view;
  /// One per stripe of partitions: a partition's calls go to the one with its number modulo theirs.
  vnode_list vnodes;
  counters count;
  /// To those who call this node from others.
  reply_routes replies;
  memcache::access_marks access;
  /// The listening socket for clients, and the connections that it brought; for `stats conns`.
  std::optional<int64_t> listener;
  std::unordered_set<const connection_state*> clients;
  /// Bytes of answers that clients have not taken yet, or that wait for their turn.
  size_t unsent = 0;
  /// Who may use this node; null: everybody.
  credentials_ptr credentials;

  /// Conditional writes that this node leads take turns per key: without that, of many clients that
  /// increment one counter all but one would read in vain, each time. False: wait for a turn_atom
  /// with `operation`. Nothing when too many wait already.
  std::optional<bool> take_turn(uint64_t hash, const coordinator_actor& who, uint32_t operation);
  /// Lets the next one in.
  void end_turn(uint64_t hash);

  /// Every `limits::peer_tick`, by the gateway: tells the peers, coordinators that are at work for
  /// long, and connections whose time is over. One timer for all, for each costs a wake-up of two
  /// threads, and keeps who waits for it.
  void tick(caf::actor_clock::time_point now);
  /// By each peer, when it begins and ends.
  void add_peer(const peer_actor& x) { ticking_.push_back(x.address()); }
  void remove_peer(const caf::actor_addr& x) { std::erase(ticking_, x); }
  /// The peer with this id; null: there is none (any more).
  peer_actor find_peer(caf::actor_id id) const;
  /// The connection gets an abandon_atom then, if it is still there.
  void abandon_at(caf::actor_clock::time_point when, caf::actor_addr who) {
    ending_.emplace_back(when, std::move(who));
  }
  /// By each coordinator, once.
  void watch(const coordinator_actor& who, coordinator_state* state);

  /// Requests of one client.
  struct client_requests {
    response_sink client;
    response_box_ptr box;
    request_list requests;
  };
  /// One coordinator takes what all clients ask in this turn: fewer messages for each request.
  /// `box`: for the answers; null: they come as response_lists.
  void submit(response_sink client, response_box_ptr box, request_list requests);
  /// By that coordinator.
  std::vector<client_requests> take_requests();

  /// Whether the vnode runs on this loop and takes all calls of a round at once.
  bool gathers_calls() const {
    return sockets_ && context_->options.storage.engine == engine_kind::memory;
  }
  /// To that vnode, at the end of the round: what several nodes and clients ask costs one message.
  void gather(vnode_batch calls);
  /// By that vnode.
  std::vector<vnode_batch> take_calls() { return std::exchange(calls_, {}); }

  /// By a coordinator. The client gets a flush_batch_atom at the end of the round.
  void answer(const response_sink& client, response_box& box, response x);

  coordinator_actor take_coordinator();
  void give_back(coordinator_actor x) {
    if (!ended_)
      idle_coordinators_.push_back(std::move(x));
  }

  /// At the end of the node: ends every actor of the free lists, those at work included.
  void end_pool();

private:
  /// At the end of the round, for what is in `requests_` then.
  void start_coordinator();

  caf::actor_system& system_;
  socket_loop* sockets_;
  struct waiter {
    coordinator_actor who;
    uint32_t operation;
  };

  context_ptr context_;
  bool ended_ = false;
  /// Keys, by hash, that a conditional write is at; and who waits for it to end.
  std::unordered_map<uint64_t, std::deque<waiter>> turns_;
  /// The peers.
  std::vector<caf::actor_addr> ticking_;
  std::vector<std::pair<caf::actor_clock::time_point, caf::actor_addr>> ending_;
  std::vector<coordinator_actor> coordinators_;
  std::vector<std::pair<coordinator_actor, coordinator_state*>> watched_;
  std::vector<coordinator_actor> idle_coordinators_;
  std::vector<client_requests> requests_;
  std::vector<vnode_batch> calls_;
};

using io_loop_ptr = std::shared_ptr<io_loop>;

/// Has `who` get a flush_batch_atom behind all that the turn at hand brings.
template <class Self, class Handle>
void flush_at_turn_end(Self* self, const Handle& who, io_loop& loop) {
  if (auto* sockets = loop.sockets())
    sockets->at_turn_end(caf::actor_cast<caf::strong_actor_ptr>(who));
  else
    self->send(who, flush_batch_atom::value);
}

/// Has the peer send what is in its outbox behind all that the turn at hand brings.
template <class Self>
void flush_at_turn_end(Self* self, const outbox_ptr& box, const peer_actor& peer, io_loop& loop) {
  if (std::exchange(box->flush_due, true))
    return;
  if (auto* sockets = loop.sockets())
    sockets->at_turn_end(box);
  else
    self->send(peer, flush_batch_atom::value);
}

/// Sends answers to calls, by messages of their own.
template <class Self>
void send_answers(Self* self, const caf::strong_actor_ptr& to, answer_batch answers) {
  auto sink = caf::actor_cast<answer_batch_sink>(to);
  in_parts(std::move(answers),
           [&](answer_batch part, size_t) { self->send(sink, std::move(part)); });
}

/// Sends answers to a node's calls, with what else goes there at the end of the turn where somebody
/// does.
template <class Self>
void send_answers(Self* self, io_loop& loop, const caf::strong_actor_ptr& to,
                  answer_batch answers) {
  auto route = loop.replies.find(to);
  if (!route)
    return send_answers(self, to, std::move(answers));
  in_parts(std::move(answers), [&](answer_batch part, size_t bytes) {
    route->box->add_reply(to, std::move(part), bytes);
  });
  flush_at_turn_end(self, route->box, route->peer, loop);
}

/// Answers of read windows to reads among `calls`, which are taken out of them.
answer_batch answer_at_once(node_context& context, std::vector<call>& calls,
                            caf::actor_clock::time_point now);

/// Hands calls about this node's partitions to the vnodes that hold them. Their answers go to
/// `reply_to`; none come where the node has ended meanwhile.
template <class Self>
void send_to_vnodes(Self* self, io_loop& loop, std::vector<call> calls,
                    const caf::strong_actor_ptr& reply_to) {
  auto& vnodes = loop.vnodes;
  if (calls.empty() || vnodes.empty())
    return;
  if (!loop.context().windows.empty()) {
    auto answers = answer_at_once(loop.context(), calls, self->home_system().clock().now());
    loop.count.reads_cached += answers.answers.size();
    if (!answers.answers.empty())
      send_answers(self, loop, reply_to, std::move(answers));
    if (calls.empty())
      return;
  }
  if (loop.gathers_calls())
    return loop.gather({std::move(calls), reply_to});
  if (vnodes.size() == 1) {
    self->send(vnodes[0], vnode_batch{std::move(calls), reply_to});
    return;
  }
  std::vector<std::vector<call>> stripes(vnodes.size());
  for (auto& x : calls)
    stripes[x.partition % stripes.size()].push_back(std::move(x));
  for (size_t i = 0; i < stripes.size(); ++i)
    if (!stripes[i].empty())
      self->send(vnodes[i], vnode_batch{std::move(stripes[i]), reply_to});
}

} // namespace kai
