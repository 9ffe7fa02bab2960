#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "actors/node_options.hpp"
#include "apps/system_config.hpp"

namespace kai {

/// What a program runs: one node, or a whole cluster in one process.
struct node_plan {
  std::string program;
  std::vector<node_options> nodes;
  caf_settings caf;
  /// The nodes after the first join through it, unless they have seeds of their own.
  bool join_first = false;
  /// A line for stdout when all nodes are ready; may be empty.
  std::string ready_line;
  /// Removed at the end; may be empty.
  std::filesystem::path scratch;
};

/// Starts the nodes, prints the ready line of each, and runs until a signal comes or all nodes have
/// left their cluster; then stops them in order. `take_over_signals` was called before. Returns the
/// process' exit status; what went wrong stands on stderr.
int run_nodes(node_plan plan);

} // namespace kai
