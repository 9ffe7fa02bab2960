#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "protocol/topology.hpp"

/// The rules behind `validate`, one by one: for who changes a topology, or asks whether settings
/// and a founder are fit before there is one. Each says what is wrong, for a message; empty:
/// nothing.
namespace kai {

std::string defect_of(const cluster_settings& x);

/// Also whether they are sorted, and differ in name, cluster address and node id.
std::string defect_of(const std::vector<member>& members);

/// For messages: a name that may be anything, in quotes, cut and without control characters.
std::string quoted(std::string_view x);

} // namespace kai
