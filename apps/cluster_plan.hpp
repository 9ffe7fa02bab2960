#pragma once

#include <filesystem>

#include <caf/expected.hpp>

#include "apps/config.hpp"
#include "apps/run_nodes.hpp"

namespace kai {

/// What kai-cluster runs: the options of each of its nodes. Ports count up from the given ones,
/// names and directories carry the node's number. `directory` holds all of the nodes' data. Errors:
/// errc::bad_configuration.
caf::expected<node_plan> plan_cluster(const invocation& asked,
                                      const std::filesystem::path& directory);

} // namespace kai
