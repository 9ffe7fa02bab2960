#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "actors/node_options.hpp"
#include "apps/system_config.hpp"

namespace kai {

/// What a program runs: one node, the loops of one host, or a whole cluster in one process.
struct node_plan {
  std::string program;
  std::vector<node_options> nodes;
  caf_settings caf;
  /// Each node joins through those before it, too.
  bool join_earlier = false;
  /// Not empty: the nodes are the loops of a host of this name. They share the memcache port,
  /// memcache.max-connections and the cores, and have one ready line.
  std::string host;
  /// A line for stdout when all nodes are ready; may be empty.
  std::string ready_line;
  /// Removed at the end; may be empty.
  std::filesystem::path scratch;
};

/// Starts the nodes, prints the ready line of each or of the host, and runs until a signal comes or
/// all nodes have left their cluster; then stops them in order. `take_over_signals` was called
/// before. Returns the process' exit status; what went wrong stands on stderr.
int run_nodes(node_plan plan);

} // namespace kai
