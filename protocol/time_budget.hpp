#pragma once

#include <chrono>
#include <cstddef>

#include "protocol/hybrid_clock.hpp"
#include "protocol/mutation.hpp"

namespace kai {

/// How long a coordinator may go on with an operation: its rules about time, as limits.hpp
/// describes them (request_deadline and what follows). Every `elapsed` counts from when the
/// client's request came to the node that coordinates it.
class time_budget {
public:
  using time = std::chrono::nanoseconds;

  /// Of a read.
  time_budget();
  /// Of a write. `forwarded`: another coordinator, which had the request first, waits for this one.
  time_budget(const mutation& write, bool forwarded);

  /// Whether another leader may still be asked to do it as the first one was.
  bool may_try(time elapsed) const { return elapsed <= attempts_until_; }
  /// The same, or to do it without a look at what is there: what is always_writable may go on so
  /// for longer.
  bool may_try_blindly(time elapsed) const { return elapsed <= blind_attempts_until_; }
  /// Whether it may start over where what made it fail is about to be over: longer than other
  /// attempts may begin, for no call of the next one is likely to take all of its time.
  bool may_begin_anew(time elapsed) const { return elapsed < begin_anew_until_; }
  /// Whether to decide once more after another writer was faster, for the `rounds`th time. What was
  /// `tried` under other lists before gets a little longer: its client could only be told that it
  /// may have happened.
  bool may_decide_again(time elapsed, size_t rounds, bool tried) const;
  /// Whether the answer to one more call can come before nobody waits for it any more.
  bool may_call(time elapsed) const { return elapsed <= calls_until_; }
  /// How long to wait for the leader that is asked now: lead_deadline_of, or what is left, which is
  /// less where the write began anew.
  std::chrono::milliseconds patience_for_leader(time elapsed) const;

private:
  time attempts_until_;
  time decide_again_until_;
  time blind_attempts_until_;
  time begin_anew_until_;
  time calls_until_;
  std::chrono::milliseconds lead_deadline_{};
};

/// Until when a leader that was asked may decide.
struct decision_time {
  /// By the cluster's clock, which stands where it is ahead of the wall clock; 0: nobody was asked.
  timestamp until = 0;
  /// The same time from its asking, by the wall clock of who asked it.
  timestamp by_wall = 0;
};

/// How long to wait before another leader is asked for what one that fell silent may decide yet.
/// The next one writes above `until`, which puts the cluster's clock ahead: at once, as long as
/// that is no more than limits::clock_lead_max ahead of the wall clock. Beyond it the time is
/// waited out, and the clock is no further ahead then than it was when the silent leader was asked.
std::chrono::microseconds wait_for_next_leader(const decision_time& x, timestamp wall_now);

} // namespace kai
