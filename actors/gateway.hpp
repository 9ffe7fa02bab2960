#pragma once

#include <unordered_map>
#include <vector>

#include "actors/io_loop.hpp"

namespace kai {

/// The one published actor of a node: other nodes' peers and kai-admin reach everything behind it
/// through it. Batches in, batches out; calls of a foreign or outdated owner are refused here.
///
/// Spawned by node, published at the cluster port, never restarted. Runs on the loop. When it dies
/// the node is gone for the others.
struct gateway_state {
  static inline const char* name = "kai.gateway";
  gateway_state() = default;

  /// A call that an actor of this node works on for another one.
  struct forwarded_call {
    caf::strong_actor_ptr reply_to;
    uint64_t id = 0;
  };
  struct outgoing {
    caf::strong_actor_ptr reply_to;
    answer_batch batch;
  };

  io_loop_ptr loop;
  topology_actor topology;
  admin_actor admin;
  std::unordered_map<uint64_t, forwarded_call> forwarded;
  uint64_t next_tag = 1;
  std::vector<outgoing> out;
  bool flush_due = false;
};

local_gateway_actor::behavior_type
gateway(local_gateway_actor::stateful_pointer<gateway_state> self, io_loop_ptr loop);

} // namespace kai
