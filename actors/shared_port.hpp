#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <caf/expected.hpp>

namespace kai {

/// How many clients there may be at a time: of one node, or of all that share a port. May be used
/// from any thread.
class client_seats {
public:
  explicit client_seats(size_t max) : max_(max) {}

  /// False: all are taken.
  bool take();
  void give_back(size_t count) { taken_.fetch_sub(count, std::memory_order_relaxed); }

private:
  const size_t max_;
  std::atomic<size_t> taken_{0};
};

/// One node's part of a port for clients that several nodes of a process serve.
struct port_share {
  /// A listening socket. Whoever takes it over also closes it.
  int socket = -1;
  std::shared_ptr<client_seats> seats;
};

/// Listens on one port with `nodes` sockets, among which the kernel spreads the connections
/// (SO_REUSEPORT). The first is opened as one that shares with nobody, so that a port where another
/// process listens is refused, even another one of ours; and it makes the same true for whoever
/// comes later. `max_connections` holds for all together.
caf::expected<std::vector<port_share>> share_port(const std::string& address, uint16_t port,
                                                  size_t nodes, size_t max_connections);

/// Why nobody of this process can listen somewhere, in the system's words.
struct bind_obstacle {
  std::string text;
  /// Another port would do: it is in use, or reserved. Else the address is none of this host's.
  bool of_port = false;
};

/// Tries it. nullopt: it works.
std::optional<bind_obstacle> why_not_bound(const std::string& address, uint16_t port);

/// The port that a listening socket is bound to.
uint16_t port_of(int socket);

} // namespace kai
