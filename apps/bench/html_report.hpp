#pragma once

#include <string>
#include <vector>

#include <caf/expected.hpp>
#include <nlohmann/json.hpp>

namespace kai::bench {

/// One page without outside parts: a table of the runs side by side, and throughput and latency
/// over time and the percentile curves as SVG. Fails where a document lacks a member.
caf::expected<std::string> html_report(const std::vector<nlohmann::json>& runs);

} // namespace kai::bench
