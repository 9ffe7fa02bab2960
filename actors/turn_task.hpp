#pragma once

namespace kai {

/// What is due at the end of a turn and is called there, on the loop's thread: a message to the
/// actor whose work it is would often cost more than the work.
class turn_task {
public:
  virtual ~turn_task() = default;
  virtual void run() = 0;
};

} // namespace kai
