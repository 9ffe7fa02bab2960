#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "apps/bench/histogram.hpp"

namespace kai::bench {

/// Counts by name, of at most limits::error_kinds_max names.
class error_counts {
public:
  /// Counts a line of an answer by its first words, where numbers are written as N: lines that
  /// differ in a count or a port only are one kind.
  void add_line(std::string_view line);
  void add(std::string name, uint64_t count = 1);
  void merge(const error_counts& other);

  const std::map<std::string, uint64_t>& by_name() const { return counts_; }

private:
  std::map<std::string, uint64_t> counts_;
};

/// What became of the requests of one kind.
struct kind_tally {
  /// Of answered requests, and of those that timed out as long as they were waited for. Not of
  /// errors, which may be quick and would flatter the picture.
  histogram latency;
  /// Hits and misses, or acknowledged writes.
  uint64_t succeeded = 0;
  uint64_t misses = 0;
  uint64_t errors = 0;
  uint64_t timeouts = 0;
  /// Those whose connection ended under them.
  uint64_t lost = 0;

  void merge(const kind_tally& other);
  void clear();
};

struct tally {
  kind_tally gets;
  kind_tally sets;

  void merge(const tally& other);
  void clear();
};

/// One second of a run.
struct series_row {
  uint64_t second = 0;
  /// Shorter than a second at the end of a run.
  double seconds = 1;
  uint64_t gets = 0;
  uint64_t sets = 0;
  uint64_t failed = 0;
  uint64_t get_p50 = 0, get_p99 = 0, get_max = 0;
  uint64_t set_p50 = 0, set_p99 = 0, set_max = 0;
};

series_row summarize(uint64_t second, double seconds, const tally& counted);

/// What a worker counts over its whole life, warm-up included.
struct worker_totals {
  uint64_t requests_sent = 0;
  uint64_t requests_answered = 0;
  uint64_t bytes_read = 0;
  uint64_t bytes_written = 0;
  uint64_t reconnects = 0;
  /// Requests that were due at the fixed rate but still unsent at the end.
  uint64_t unsent = 0;
  uint64_t preloaded = 0;
  uint64_t preload_retries = 0;
  uint64_t values_checked = 0;
  uint64_t values_wrong = 0;
  uint64_t values_stale = 0;
  /// Misses of keys with an acknowledged write.
  uint64_t values_missing = 0;
  /// Reads that any age and a miss were right for (history::floor).
  uint64_t reads_without_floor = 0;
  /// Lines that requests of the measured time were answered with.
  error_counts errors;
  /// Why connections could not be made or ended.
  error_counts connection_errors;

  void merge(const worker_totals& other);
};

/// A finished run.
struct run_result {
  tally counted;
  worker_totals totals;
  std::vector<series_row> series;
  /// From the beginning of the measured time to its end, or to the last measured answer.
  double elapsed_seconds = 0;
  double preload_seconds = 0;
  /// Processor time of this process, user and system: in the measured time, and altogether.
  double cpu_seconds = 0;
  double cpu_seconds_total = 0;

  bool verified() const;
  bool succeeded(bool measured) const;
};

} // namespace kai::bench
