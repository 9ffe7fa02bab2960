#pragma once

#include <map>

#include <caf/io/broker.hpp>
#include <caf/stateful_actor.hpp>

#include "actors/connection.hpp"
#include "actors/shared_port.hpp"

namespace kai {

/// The listening socket for clients and the cap on their number: forks a connection for each.
///
/// Spawned by node; a broker on the I/O loop. Messages: (start_atom, host, port) binds and answers
/// with the port; (start_atom, socket) takes over one that listens already; (stop_atom) closes the
/// socket, lets every connection finish what it has started, and ends after the last one.
struct acceptor_state {
  static inline const char* name = "kai.acceptor";
  acceptor_state() = default;
  ~acceptor_state() {
    if (seats)
      seats->give_back(connections.size() + early.size());
  }

  io_loop_ptr loop;
  client_services services;
  /// One is taken for each of `connections` and `early`.
  std::shared_ptr<client_seats> seats;
  caf::io::accept_handle listener;
  std::map<caf::actor_addr, caf::actor> connections;
  /// Clients that came before the node was a member: nothing is read of them yet.
  std::vector<caf::io::connection_handle> early;
  bool serving = false;
  bool stopping = false;
};

using acceptor_self = caf::stateful_actor<acceptor_state, caf::io::broker>;

caf::behavior acceptor(acceptor_self* self, io_loop_ptr loop, std::shared_ptr<client_seats> seats);

} // namespace kai
