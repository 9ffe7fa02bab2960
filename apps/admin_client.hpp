#pragma once

#include <memory>
#include <string>
#include <vector>

#include <caf/expected.hpp>
#include <caf/timespan.hpp>

#include "actors/node_options.hpp"

namespace kai {

/// Asks a node what kai-admin asks. Blocks; for one thread.
class admin_client {
public:
  /// Does not connect yet.
  explicit admin_client(host_port node);
  ~admin_client();

  /// Sends one command and waits for its document (JSON text). Connects first where that is needed.
  /// Errors: the node's own, errc::peer_down when it cannot be reached or the connection breaks,
  /// errc::timed_out.
  caf::expected<std::string> ask(const std::string& command,
                                 const std::vector<std::string>& arguments, caf::timespan timeout);

  /// Asks another one from now on.
  void turn_to(host_port node);

private:
  class impl;
  std::unique_ptr<impl> impl_;
};

} // namespace kai
