#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "actors/log.hpp"
#include "actors/node_options.hpp"
#include "actors/read_window.hpp"
#include "protocol/hybrid_clock.hpp"
#include "protocol/limits.hpp"
#include "protocol/topology.hpp"

namespace kai {

/// What all actors of one node know and none changes, and the one clock they share. Time and chance
/// come from here: nothing below apps/ asks the system for them.
struct node_context {
  node_options options;
  /// node.name, filled in where the option was empty.
  std::string name;
  /// Of the data, and of this start of the process.
  node_id id = 0;
  uint64_t incarnation = 0;
  /// Addresses as bound.
  std::string memcache_address;
  std::string cluster_address;
  /// Microseconds since 1970.
  std::function<timestamp()> wall_clock;
  /// Microseconds since any moment; never set. Empty: the wall clock is not either.
  std::function<timestamp()> steady_clock;
  /// Start of the process, by the wall clock.
  timestamp started = 0;
  /// When the data was last in use before this start, by the same; 0: it is new.
  timestamp used_until = 0;
  hybrid_clock clock;
  logger log;
  /// Of the vnodes, in their order, where those are on threads of their own; else none.
  std::vector<std::shared_ptr<read_window>> windows;
  /// The node was a member, and is none any more: it is to end.
  std::atomic<bool> left{false};
  /// Vnodes keep hints for others. Not once this node, which leaves, has said that it has none.
  std::atomic<bool> takes_hints{true};

  /// Of the topology in use, for actors that need no more of it: its epoch and its flush marks.
  void use(const topology& x) {
    epoch_.store(x.epoch, std::memory_order_relaxed);
    flush_reached_.store(x.flushed.reached, std::memory_order_relaxed);
    flush_ahead_.store(x.flushed.ahead, std::memory_order_relaxed);
    // What is written from now on lies above the mark, or it would be gone at once.
    clock.observe(x.flushed.reached);
  }
  uint64_t epoch() const { return epoch_.load(std::memory_order_relaxed); }
  /// Versions with dots at or below are flushed by now.
  timestamp flushed() const { return flushed_at(now()); }
  /// The same by `time`.
  timestamp flushed_at(timestamp time) const {
    return flush_marks{flush_reached_.load(std::memory_order_relaxed),
                       flush_ahead_.load(std::memory_order_relaxed)}
        .at(time);
  }

  /// As far as the cluster knows: for dots, messages and flush marks. Expiry goes by `wall_clock`:
  /// one node whose clock is ahead must not end everybody's items.
  timestamp now() const { return clock.now(wall_clock()); }
  /// Takes note of another node's clock. False: it is so far ahead that it must be wrong, and is
  /// not taken over, or one bad clock would be everybody's for good. Ahead of the best that is
  /// known here: a wall clock that is set back must not make all others wrong.
  bool observe(timestamp x) {
    if (clock.is_above(x))
      return true;
    auto ahead = std::chrono::microseconds{limits::clock_ahead_max}.count();
    if (x > note_time(wall_clock()) + static_cast<uint64_t>(ahead))
      return false;
    clock.observe(x);
    return true;
  }

  /// At a start: dots go on above what the node stored, even where its wall clock was set back.
  void trust_own_clock() { note_time(now()); }

  timestamp issue() { return clock.issue(wall_clock()); }

private:
  /// It is `at` now, or later than that.
  timestamp note_time(timestamp at) {
    auto steady = steady_clock ? steady_clock() : wall_clock();
    best_.raise(at, steady);
    return best_.at(steady);
  }

  best_time best_;
  std::atomic<uint64_t> epoch_{0};
  std::atomic<timestamp> flush_reached_{0};
  std::atomic<timestamp> flush_ahead_{0};
};

using context_ptr = std::shared_ptr<node_context>;

} // namespace kai
