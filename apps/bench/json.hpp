#pragma once

#include <string>

#include <caf/error.hpp>
#include <caf/expected.hpp>
#include <nlohmann/json.hpp>

#include "apps/bench/options.hpp"
#include "apps/bench/tally.hpp"

namespace kai::bench {

/// Everything that a run found, as one document. Times within it are microseconds unless a name
/// ends in `_seconds`. `kai-bench report` reads it back; test/bench/README.md lists the members.
nlohmann::json to_json(const run_options& options, const run_result& result);

/// Writes to a file, or to standard output where the name is "-".
caf::error write_text(const std::string& file, const std::string& text);

/// Whether that will probably work: better known before a long run than after it.
caf::error check_writable(const std::string& file);

/// Reads a document that `to_json` made. The error names the file.
caf::expected<nlohmann::json> read_json(const std::string& file);

} // namespace kai::bench
