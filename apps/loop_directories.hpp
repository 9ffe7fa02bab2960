#pragma once

#include <string>
#include <vector>

#include <caf/error.hpp>

#include "apps/options.hpp"

namespace kai {

/// Where the `number`th loop of a host, counted from 1, keeps its files.
std::string loop_directory(const std::string& directory, size_t number);

/// Whether storage.directory holds nothing but what the loops asked for will use. A loop that is
/// not started any more would be missed, with its replicas, by the cluster that it is a member of:
/// it has to leave first. errc::bad_configuration names it and says how.
caf::error check_loop_directories(const process_options& options);

/// The same of the nodes of kai-cluster.
caf::error check_cluster_directory(const process_options& options, uint64_t nodes);

/// Where the first node's data is gone, and that of others is there, has it join them: it would
/// found a second cluster. errc::bad_configuration where nobody's address is known.
caf::error join_who_is_there(std::vector<node_options>& nodes);

/// Has loops that may take any cluster port take those that they had before, where they are free.
/// Members that all come back elsewhere at once would not find each other.
void keep_ports(std::vector<node_options>& loops);

} // namespace kai
