#pragma once

#include <functional>
#include <optional>

#include "actors/topology_keeper.hpp"
#include "storage/directory.hpp"

namespace kai {

/// How a topology actor agrees with the others on the next epoch: the part of topology_keeper that
/// talks paxos.hpp. Runs on that actor, as functions of its state.
using topology_self = topology_actor::stateful_pointer<topology_state>;

/// Reads what this node stored before it stopped, its vote included. Nothing stored is no error.
caf::error load_topology(topology_state& st);

/// Whether this node's data is a member's. One that lost its data, and with it its votes, must not
/// vote again under its old name.
bool is_member(const topology_state& st);

/// The member whose data a directory holds, as its node knew it when it stopped; nullopt: none's.
caf::expected<std::optional<member>> member_of(const node_directory& directory);

/// From now on `decided` holds. False: it could not be stored, and the one before stays.
bool use(topology_self self, topology decided);

/// The same for an encoded one that another node sent, where it is newer than the one in force.
void use_if_newer(topology_self self, const blob& bytes);

/// Sends `x` to all members but this one; `on_reply` sees each answer, `on_all` runs when all have
/// come.
void ask_members(topology_self self, const topology_request& x,
                 std::function<void(size_t, const caf::expected<topology_reply>&)> on_reply,
                 std::function<void()> on_all);

/// The answer to another member's question; a vote is durable before it is answered.
caf::result<std::string> answer_member(topology_self self, const topology_request& x);

/// Has `change` voted on, together with what else waits, until it is decided or refused.
void propose(topology_self self, topology_change change);

/// Starts the vote on what waits, when none is under way.
void next_proposal(topology_self self);

} // namespace kai
