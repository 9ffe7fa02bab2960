#pragma once

#include <vector>

#include <caf/stateful_actor.hpp>

#include "actors/io_loop.hpp"
#include "protocol/limits.hpp"
#include "protocol/suspicion.hpp"

namespace kai {

/// One other node, or this one: its connection, its back-off, and the calls to it that are under
/// way.
///
/// Spawned by membership, one per member. Runs on the loop. Lives until the member goes. It sends
/// one batch per loop turn (this node's own hands calls to the vnodes at once), and answers every
/// call it took: with what the node says, or with a failure when the connection breaks or the
/// call's deadline passes. When it dies its calls are lost: so one that is replaced goes on for a
/// while and refuses what still comes, and else only the end of the node ends it.
struct peer_state {
  static inline const char* name = "kai.peer";
  peer_state() = default;

  /// Calls of one sender that came in one message: their answers leave in few messages, too.
  struct group {
    caf::strong_actor_ptr sender;
    size_t open = 0;
    answer_list ready;
  };

  /// One call in flight. The id on the wire is its index and the slot's generation, so that an
  /// answer that comes after the deadline finds nobody.
  struct slot {
    uint64_t tag = 0;
    uint32_t group = 0;
    uint32_t generation = 0;
    uint32_t bytes = 0;
    bool open = false;
    bool sent = false;
    /// When it fails unless it is answered.
    caf::actor_clock::time_point deadline;
  };

  io_loop_ptr loop;
  std::string member_name;
  std::string address;
  /// Null for this node's own peer, which needs no connection.
  dialer_actor dialer;
  membership_actor membership;
  topology_actor topology;
  outbox_ptr box;

  gateway_actor remote;
  bool up = false;
  /// Not up, and another member does not reach it either.
  bool confirmed = false;
  bool dialing = false;
  /// Since it was up.
  size_t dials = 0;
  /// Set: another peer stands for the member, or it is gone.
  std::optional<caf::actor_clock::time_point> retired;
  caf::timespan backoff = limits::reconnect_min;
  caf::actor_clock::time_point up_since;
  /// Since its start, or since the connection was lost.
  caf::actor_clock::time_point down_since;
  /// Why the node was not used when it answered last, or was not reached.
  std::string last_objection;
  /// That the node's clock is far ahead was logged.
  bool clock_told = false;
  suspicion doubts;

  std::vector<slot> slots;
  std::vector<uint32_t> free_slots;
  std::vector<group> groups;
  std::vector<uint32_t> free_groups;
  std::vector<uint32_t> touched;
  std::vector<call> pending;
  size_t open_calls = 0;
  size_t open_bytes = 0;
};

/// `member_name`: as it must say in its hello; `address`: HOST:PORT of its gateway. `own_gateway`:
/// for the peer of this node itself, else null.
/// `box`: what coordinators have for the node.
peer_actor::behavior_type peer(peer_actor::stateful_pointer<peer_state> self, io_loop_ptr loop,
                               std::string member_name, std::string address,
                               gateway_actor own_gateway, dialer_actor dialer,
                               membership_actor membership, topology_actor topology,
                               outbox_ptr box);

} // namespace kai
