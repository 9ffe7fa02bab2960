#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace kai::bench {

/// Counts latencies in microseconds, up to an hour, in buckets of logarithmic groups of linear
/// steps: exact below 2048 us, and at most one part in 1024 too large above, so three digits are
/// right. The layout is that of HdrHistogram (Gil Tene). A fixed 186 KB; recording allocates
/// nothing.
class histogram {
public:
  /// Larger values are counted as this one, and said to be `max()`.
  static constexpr uint64_t value_max = 3'600'000'000;

  histogram();

  void record(uint64_t microseconds) {
    ++buckets_[index_of(microseconds < value_max ? microseconds : value_max)];
    ++count_;
    sum_ += microseconds;
    if (microseconds > max_)
      max_ = microseconds;
  }

  void merge(const histogram& other);
  void clear();

  uint64_t count() const { return count_; }
  uint64_t max() const { return max_; }
  double mean() const;

  /// The value that `percent` of all values do not exceed; 0 when empty. `percentile(100)` is the
  /// maximum.
  uint64_t percentile(double percent) const;

  /// One point of the percentile curve.
  struct point {
    double percent;
    uint64_t microseconds;
  };

  /// The curve, with points ever closer to 100 % until a single value decides.
  std::vector<point> curve() const;

  /// Where a value is counted, and the largest value that is counted there.
  static size_t index_of(uint64_t microseconds);
  static uint64_t upper_edge(size_t index);

private:
  std::vector<uint64_t> buckets_;
  uint64_t count_ = 0;
  uint64_t sum_ = 0;
  uint64_t max_ = 0;
};

} // namespace kai::bench
