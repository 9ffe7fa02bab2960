#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include <sys/socket.h>

#include <caf/error.hpp>
#include <caf/expected.hpp>

#include "apps/bench/options.hpp"

namespace kai::bench {

/// A server that can be connected to.
struct server_address {
  sockaddr_storage bytes{};
  socklen_t length = 0;
  std::string name;
};

/// Looks the name up; blocks. All its addresses, at least one. The error names the server.
caf::expected<std::vector<server_address>> resolve(const server_name& server);

/// Whether somebody listens there: connects, waits at most `timeout`, and closes. The error names
/// the server and the reason.
caf::error probe(const server_address& server, std::chrono::nanoseconds timeout);

/// A non-blocking socket on its way to the server, or -1 with `errno` set.
int start_connect(const server_address& server);

/// The outcome of a connect that has finished: 0 or an errno value.
int connect_outcome(int fd);

} // namespace kai::bench
