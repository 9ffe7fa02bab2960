#pragma once

#include <atomic>

#include <caf/expected.hpp>

#include "apps/bench/collector.hpp"
#include "apps/bench/options.hpp"
#include "apps/bench/tally.hpp"

namespace kai::bench {

/// Does one run from beginning to end on threads of its own: looks the servers up, preloads, warms
/// up, measures. Blocks. `listening` is told each second, on one of those threads; `stop` ends the
/// run early, with what was measured until then. Fails when no server can be reached or preloading
/// fails; a run in which nothing succeeded is a result.
caf::expected<run_result> run_bench(const run_options& options, collector::listener listening,
                                    const std::atomic<bool>& stop);

} // namespace kai::bench
