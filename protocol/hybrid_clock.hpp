#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <limits>

#include "protocol/limits.hpp"

namespace kai {

/// Microseconds since 1970 of a hybrid logical clock (Kulkarni et al., "Logical Physical Clocks",
/// 2014): follows the wall clock, and stays above everything its node has issued or seen.
using timestamp = uint64_t;

/// The clock of one node. Each value is issued once. Thread-safe: the vnodes of a node, on threads
/// of their own, and its gateway share one clock, like they share the system's wall clock.
class hybrid_clock {
public:
  /// Starts above `floor`: the bound that the node stored before it stopped.
  explicit hybrid_clock(timestamp floor = 0) : last_(floor) {}

  /// A value above all before; `wall_now` is the wall clock in microseconds.
  timestamp issue(timestamp wall_now) {
    auto seen = last_.load(std::memory_order_relaxed);
    timestamp next;
    do {
      next = wall_now > seen ? wall_now : seen + 1;
    } while (!last_.compare_exchange_weak(seen, next, std::memory_order_relaxed));
    return next;
  }

  /// Whether nothing at or below `x` will be issued anyway.
  bool is_above(timestamp x) const { return last_.load(std::memory_order_relaxed) >= x; }

  /// Everything issued from now on is above `x`, which came from another node or from disk.
  void observe(timestamp x) {
    auto seen = last_.load(std::memory_order_relaxed);
    while (x > seen && !last_.compare_exchange_weak(seen, x, std::memory_order_relaxed)) {
    }
  }

  /// The time as far as the node knows, to send along and to compare expiry and flush marks with.
  timestamp now(timestamp wall_now) const {
    auto seen = last_.load(std::memory_order_relaxed);
    return wall_now > seen ? wall_now : seen;
  }

private:
  std::atomic<timestamp> last_;
};

/// The time as a node knew it best, by which it judges the clocks of others: that of its wall
/// clock, and where that is set back, what it would have come to. Thread-safe.
class best_time {
public:
  /// It is at least `at`, when the steady clock says `steady`; both in microseconds.
  void raise(timestamp at, timestamp steady) {
    auto lead = static_cast<int64_t>(at - steady);
    auto known = lead_.load(std::memory_order_relaxed);
    while (lead > known && !lead_.compare_exchange_weak(known, lead, std::memory_order_relaxed)) {
    }
  }
  /// After a `raise`.
  timestamp at(timestamp steady) const {
    return steady + static_cast<timestamp>(lead_.load(std::memory_order_relaxed));
  }

private:
  std::atomic<int64_t> lead_{std::numeric_limits<int64_t>::min()};
};

/// The bound to store before `stamp` is used: nothing at or above it is issued before another one
/// is stored, so that a clock which starts above it after a crash repeats nothing. Such a clock is
/// ahead of the wall clock then. It goes by the wall clock where it can, lest a node that crashes
/// time and again took the cluster's clock further ahead each time.
constexpr timestamp clock_bound_above(timestamp stamp, timestamp wall_now) {
  constexpr std::chrono::microseconds ahead = limits::clock_bound_ahead;
  constexpr std::chrono::microseconds step = limits::clock_bound_step;
  return std::max(wall_now + static_cast<timestamp>(ahead.count()),
                  stamp + static_cast<timestamp>(step.count()));
}

} // namespace kai
