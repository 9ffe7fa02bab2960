#pragma once

#include <chrono>
#include <cstdint>
#include <optional>

#include "protocol/topology.hpp"

namespace kai {

/// Bytes per second, over about the last two seconds.
class rate_meter {
public:
  using duration = std::chrono::nanoseconds;

  void add(uint64_t bytes, duration now);
  uint64_t per_second(duration now) const;

private:
  /// By how much the past counts less now.
  double faded(duration now) const;

  double rate_ = 0;
  duration at_{0};
};

/// How far the partitions on their way are, by the topologies that were in use one after the other:
/// those that arrived are in the list in force and no move any more.
class change_progress {
public:
  using duration = std::chrono::nanoseconds;

  /// `x` is in use from now on.
  void see(const topology& x, duration now);

  /// Places of partitions to be filled still: each move has one for every member that is new to it.
  size_t open() const { return open_; }

  /// Between 0 and 1, since the first of the changes under way. `shares`: how far those are that
  /// are still to be filled, summed up.
  double done(double shares) const;

  /// How long the rest takes if it goes on as it went; nullopt: nothing is done yet.
  std::optional<duration> remaining(double done, duration now) const;

private:
  size_t arrived_ = 0;
  size_t open_ = 0;
  duration began_{0};
};

} // namespace kai
