#pragma once

#include "actors/io_loop.hpp"

namespace kai {

/// Says what this node counted, in memcached's names where they mean the same and then in kai's
/// own.
///
/// Spawned by node, one; runs on the I/O loop, where the counters are. Lives as long as the node.
struct stats_state {
  static inline const char* name = "kai.stats";
  stats_state() = default;

  io_loop_ptr loop;
  std::vector<vnode_actor> vnodes;
  admin_actor admin;
  sync_actor sync;
};

stats_actor::behavior_type stats(stats_actor::stateful_pointer<stats_state> self, io_loop_ptr loop,
                                 std::vector<vnode_actor> vnodes, admin_actor admin,
                                 sync_actor sync);

} // namespace kai
