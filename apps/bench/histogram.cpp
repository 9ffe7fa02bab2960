#include "apps/bench/histogram.hpp"

#include <algorithm>
#include <bit>
#include <cmath>

namespace kai::bench {

namespace {

// Values below 2^linear_bits have a bucket each; every doubling above adds half as many.
constexpr unsigned linear_bits = 11;
constexpr size_t half = size_t{1} << (linear_bits - 1);

} // namespace

histogram::histogram() : buckets_(index_of(value_max) + 1) {}

size_t histogram::index_of(uint64_t microseconds) {
  auto width = static_cast<unsigned>(std::bit_width(microseconds));
  if (width <= linear_bits)
    return microseconds;
  auto shift = width - linear_bits;
  return shift * half + (microseconds >> shift);
}

uint64_t histogram::upper_edge(size_t index) {
  if (index < 2 * half)
    return index;
  auto shift = index / half - 1;
  auto step = index - shift * half;
  return ((uint64_t{step} + 1) << shift) - 1;
}

void histogram::merge(const histogram& other) {
  if (other.count_ == 0)
    return;
  for (size_t i = 0; i < buckets_.size(); ++i)
    buckets_[i] += other.buckets_[i];
  count_ += other.count_;
  sum_ += other.sum_;
  max_ = std::max(max_, other.max_);
}

void histogram::clear() {
  if (count_ == 0)
    return;
  std::fill(buckets_.begin(), buckets_.end(), 0);
  count_ = sum_ = max_ = 0;
}

double histogram::mean() const {
  return count_ == 0 ? 0 : static_cast<double>(sum_) / static_cast<double>(count_);
}

uint64_t histogram::percentile(double percent) const {
  if (count_ == 0)
    return 0;
  // 99.9 is not exact in binary: without the small step back, 1000 values would give rank 1000.
  auto wanted = std::ceil(percent / 100 * static_cast<double>(count_) - 1e-6);
  auto rank = std::clamp<uint64_t>(wanted < 1 ? 1 : static_cast<uint64_t>(wanted), 1, count_);
  if (rank == count_)
    return max_;
  uint64_t seen = 0;
  for (size_t i = 0; i < buckets_.size(); ++i) {
    seen += buckets_[i];
    if (seen >= rank)
      return i + 1 == buckets_.size() ? max_ : std::min(upper_edge(i), max_);
  }
  return max_;
}

std::vector<histogram::point> histogram::curve() const {
  std::vector<point> result;
  if (count_ == 0)
    return result;
  for (double rest = 100; rest / 100 * static_cast<double>(count_) >= 1; rest /= 2) {
    for (int step = 0; step < 5; ++step) {
      auto percent = 100 - rest * (1 - step / 10.0);
      result.push_back({percent, percentile(percent)});
    }
  }
  result.push_back({100, max_});
  return result;
}

} // namespace kai::bench
