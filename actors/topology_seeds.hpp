#pragma once

#include <functional>

#include "actors/topology_vote.hpp"

namespace kai {

/// Where this node was at another address before: asks there. An error: it is there still, and this
/// one runs on a copy of its directory, so both would issue the same dots.
void look_for_twin(topology_self self, std::function<void(caf::error)> done);

/// This node, as it is a member or wants to be one.
member own_member(const topology_state& st);

/// Has the others know where this member is, and in which zone, where that is not what they know.
void tell_own_entry(topology_self self);

/// What the node founds a cluster with.
cluster_settings settings_of(const node_options& options);

/// Says in the log where this node's options are not what the cluster was founded with.
void warn_of_settings(const topology_state& st, const cluster_settings& founded);

/// Asks one of cluster.seeds to take this node in, and the next one when that fails, until one
/// does. Nothing when the node is a member, or does not start.
void join_through_seeds(topology_self self);

/// Of a node that is a member: says in the log which of cluster.seeds belong to another cluster.
/// They will never be used, and whoever named them may have meant to join that one.
void check_seeds(topology_self self);

} // namespace kai
