#pragma once

#include <string>
#include <vector>

#include <caf/expected.hpp>
#include <caf/timespan.hpp>

#include "actors/node_options.hpp"

namespace kai {

/// What the arguments of kai-admin ask for.
struct admin_request {
  host_port node{"127.0.0.1", 11011};
  std::string command;
  /// As many as the command takes.
  std::vector<std::string> arguments;
  bool json = false;
  /// leave, remove: whatever it costs.
  bool force = false;
  caf::timespan timeout = std::chrono::seconds{30};
  /// Not empty: print this and nothing else (--help, --version).
  std::string text;
};

/// Reads the arguments (without the program's name). Options stand anywhere; after `--` everything
/// is an argument. Errors: errc::bad_configuration.
caf::expected<admin_request> read_admin_arguments(const std::vector<std::string>& arguments);

} // namespace kai
