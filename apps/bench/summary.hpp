#pragma once

#include <string>

#include "apps/bench/options.hpp"
#include "apps/bench/tally.hpp"

namespace kai::bench {

/// What a person reads at the end of a run.
std::string summary(const run_options& options, const run_result& result);

/// One second, as a line without its end.
std::string progress(const series_row& row);

/// "127 us", "1.24 ms", "3.5 s".
std::string human_time(double microseconds);

/// "12,345".
std::string human_count(uint64_t count);

} // namespace kai::bench
