#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>

namespace kai {

/// How much of a job in the background is done at once, and how long it rests after that, so that
/// clients keep their speed and what is idle is used: while clients ask for anything, small lots
/// with a rest that is a multiple of what the last one took (so whatever is slow, a node, a disk or
/// the network, is asked the less the slower it is); else large ones without a rest. Until it was
/// told how much clients ask for it takes them for busy.
class pace {
public:
  using duration = std::chrono::nanoseconds;

  /// What clients asked of the whole cluster within that time.
  void heard(uint64_t requests, duration within);

  bool busy() const { return busy_; }

  /// How many of up to `most` things make a lot, at least one. `bytes_each`: about the size of
  /// each; 0: of no account.
  size_t lot(size_t most, uint64_t bytes_each = 0) const;

  /// How long to rest after a lot that took so long. `jobs`: as many do so side by side.
  duration rest(duration took, size_t jobs) const;

private:
  bool busy_ = true;
};

} // namespace kai
