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

/// What kai-node runs: one node, or one for each of its loops. Those are `NAME.1`, `NAME.2` and so
/// on, in one zone, for a key's replicas shall lie on different hosts; they serve one memcache port
/// together, their cluster ports count up, and what the options give to a node (clients, memory,
/// a directory, an admin server) is the host's. Errors: errc::bad_configuration.
caf::expected<node_plan> plan_host(const invocation& asked);

} // namespace kai
