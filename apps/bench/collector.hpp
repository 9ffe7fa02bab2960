#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <vector>

#include "apps/bench/tally.hpp"

namespace kai::bench {

/// Puts the workers' seconds together. Every worker delivers each second once, in order; when the
/// last one has, the second is summed up and its histograms go. Shared by all threads.
class collector {
public:
  using listener = std::function<void(const series_row&)>;

  /// `listening` is told each finished second, on the thread that finished it; may be empty.
  collector(uint64_t workers, double duration_seconds, listener listening);

  void deliver(uint64_t second, const tally& counted);

  /// Finishes seconds that not all workers delivered, of a run that took so long in the end. No
  /// deliveries afterwards.
  void finish(double duration_seconds);

  const tally& counted() const { return counted_; }
  const std::vector<series_row>& series() const { return series_; }

private:
  struct open_second {
    tally counted;
    uint64_t delivered = 0;
  };

  void close(uint64_t second, const open_second& what);

  uint64_t workers_;
  double duration_seconds_;
  listener listening_;
  std::mutex lock_;
  tally counted_;
  std::map<uint64_t, open_second> open_;
  std::vector<series_row> series_;
};

} // namespace kai::bench
