#pragma once

#include <map>
#include <string>

#include "actors/io_loop.hpp"
#include "actors/survey.hpp"

namespace kai {

/// Who is alive. Keeps one peer per member of the topology, hears from them whose connection
/// stands, and tells the request path in a new view whenever that or the topology changes. Liveness
/// is not membership: a dead member stays one.
///
/// Spawned by node, one. Runs on the scheduler. Lives as long as the node; when it dies the last
/// view stays in force.
struct membership_state {
  static inline const char* name = "kai.membership";
  membership_state() = default;

  struct entry {
    peer_actor handle;
    outbox_ptr box;
    std::string address;
    bool up = false;
    /// See peer_status.
    bool confirmed = false;
  };

  io_loop_ptr loop;
  local_gateway_actor gateway;
  dialer_actor dialer;
  topology_actor topology_keeper;
  admin_actor admin;
  std::vector<view_sink> listeners;
  topology current;
  std::map<std::string, entry> peers;
  /// Replaced ones, which end by themselves or with the node.
  std::vector<caf::actor_addr> retired;
  view_ptr view;
  /// About members that are silent.
  survey_desk surveys;
};

membership_actor::behavior_type
membership(membership_actor::stateful_pointer<membership_state> self, io_loop_ptr loop,
           local_gateway_actor gateway, dialer_actor dialer);

} // namespace kai
