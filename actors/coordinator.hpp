#pragma once

#include <optional>
#include <vector>

#include <caf/stateful_actor.hpp>

#include "actors/io_loop.hpp"
#include "protocol/quorum.hpp"
#include "protocol/routing.hpp"
#include "protocol/time_budget.hpp"

namespace kai {

/// Where the lists of a partition change while a decision is on its way, the next coordinator goes
/// on with it, and with the key's turn: decided anew, what this one has left at some replica would
/// be covered by the new dot as if it had happened.
struct held_decision {
  record decided;
  dot base;
  outcome result;
  bool has_turn = false;
  /// All who were ever asked to take it, under these lists or older ones, have refused.
  bool nowhere = false;
};

/// Carries out the requests that the clients' sockets brought in one turn of the loop, or that
/// another node forwarded: picks replicas, asks the peer of each node concerned, gathers R or W per
/// request, answers each once, and stays for the late answers (read repair). The rules of N, R and
/// W are read_core and write_core.
///
/// Spawned by io_loop when its free list is empty; runs on the loop; goes back to the free list
/// when its last call was answered. When it dies, its requests stay unanswered: nothing but the end
/// of the node ends it.
struct coordinator_state {
  static inline const char* name = "kai.coordinator";
  coordinator_state() = default;

  /// What a call was for; part of its tag.
  enum class stage : uint8_t { read, write_back, forward, apply, store, hint, release };

  /// A call's tag: which operation, in which round, which place of its preference list, and what
  /// for.
  struct call_tag {
    uint32_t operation;
    uint8_t round;
    uint8_t place;
    stage what;

    uint64_t pack() const {
      return static_cast<uint64_t>(operation) << 24 | static_cast<uint64_t>(round) << 16 |
             static_cast<uint64_t>(place) << 8 | static_cast<uint64_t>(what);
    }
    static call_tag unpack(uint64_t x) {
      return {static_cast<uint32_t>(x >> 24), static_cast<uint8_t>(x >> 16),
              static_cast<uint8_t>(x >> 8), static_cast<stage>(x & 0xff)};
    }
  };

  /// Who gave it requests.
  struct client {
    response_sink who;
    /// Null: it gets `ready` as a message.
    response_box_ptr box;
    response_list ready;
  };

  /// What only writes need: reads, which are most, stay small.
  struct write_state {
    mutation what;
    std::optional<write_core> stores;
    /// Who stands in for the replicas of `stores` that are down.
    stand_ins fallbacks;
    /// What the leader decided, answered when W replicas took `decided`.
    outcome result;
    record decided;
    /// Outline of what replicas have of the key where that is more than `decided`; else null.
    std::shared_ptr<const record> siblings;
    /// See attempt.
    dot base;
    /// It was decided on what R replicas hold: see store_call::sole.
    bool sole = false;
    /// It waits in this node's vnode until others have accepted it.
    bool held = false;
    /// Places that are down, whose stand-ins get their hints when the decision is committed.
    uint32_t hints_due = 0;
    /// See lead_call.
    timestamp above = 0;
    /// A leader that was asked before may have carried it out, or may yet.
    bool may_have_happened = false;
    /// Until when whoever was asked last may decide the write.
    decision_time decides;
    /// It is written once more: see write_core::must_rewrite.
    bool rewriting = false;
    /// It is its key's turn (io_loop::take_turn).
    bool has_turn = false;
    /// Others had theirs before.
    bool queued = false;
    /// Members that were asked to lead already.
    per_place<member_index> tried;
    /// A replica that was asked to lead answered, if only with a refusal: then no stand-in leads.
    bool refused = false;
    /// One of them was silent, went away, or reached too few to begin.
    bool doubtful = false;
    /// One of them refused because its memory is full: so the client is told when nobody can lead.
    bool full = false;
    /// What was decided of this write already, maybe elsewhere, and could not be placed.
    attempt_ptr tried_before;
    /// What was decided waits in this node's vnode until it is placed under newer lists.
    bool resuming = false;
    /// What was decided can not be placed at W replicas.
    bool unplaced = false;
    /// This node's vnode was not asked to take it, for the lists had changed.
    bool unstored = false;
  };

  struct operation {
    // Not defaulted: what is made in a vector would be filled with zeros first, which is most of
    // what a read then costs here.
    operation() {} // NOLINT(modernize-use-equals-default)

    uint64_t tag = 0;
    uint64_t hash = 0;
    blob key;
    /// An index.
    uint32_t client = 0;
    partition_id partition = 0;
    /// As in the request.
    uint8_t quorum = 0;
    /// Raised when the operation starts over, so that answers to what it asked before find nobody.
    uint8_t round = 0;
    bool replied = false;
    /// A node that was asked knows the partition's lists to be others.
    bool outdated = false;
    /// A node that was asked did not answer in time.
    bool slow = false;
    /// It reads what its replicas hold: all that a read does, and the first step of some writes.
    std::optional<read_core> read;
    std::optional<write_state> write;
  };

  /// One node this batch concerns.
  struct node_calls {
    member_index node = 0;
    call_list pending;
  };

  io_loop_ptr loop;
  view_ptr view;
  std::vector<client> clients;
  bool forwarded = false;
  caf::actor_clock::time_point began;
  std::vector<operation> operations;
  std::vector<node_calls> nodes;
  /// Indices of clients with responses that are ready.
  std::vector<uint32_t> touched;
  /// Another replica was asked for what was late.
  bool hedged = false;
  size_t outstanding = 0;
  size_t unanswered = 0;
};

coordinator_actor::behavior_type
coordinator(coordinator_actor::stateful_pointer<coordinator_state> self, io_loop_ptr loop);

} // namespace kai
