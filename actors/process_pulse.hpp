#pragma once

#include <atomic>
#include <chrono>

namespace kai {

/// Tells a stop of the whole process, in which others wrote, from a disk that took long: loops beat
/// while the process runs. May be used by several threads.
class process_pulse {
public:
  using time_point = std::chrono::steady_clock::time_point;

  /// A loop is at work.
  void beat(time_point now);
  /// Whether for longer than limits::probe_timeout no loop was at work, and that ended after
  /// `since`, or has not been seen to end.
  bool missed(time_point since, time_point now) const;

private:
  using rep = time_point::rep;

  /// 0: there was none.
  std::atomic<rep> last_ = 0;
  std::atomic<rep> gap_ended_ = 0;
};

/// This process's: its nodes stop together.
process_pulse& pulse();

} // namespace kai
