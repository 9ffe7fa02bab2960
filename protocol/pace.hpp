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

/// How many records are asked for at once by somebody who can not know how large they are: one at
/// first, then twice as many each time that all came, and, once it was too much, half as many, and
/// from there on one more each time.
class record_lots {
public:
  /// At least one.
  size_t next(size_t most) const;

  /// About the size of each, by the largest of the last lot; 0: nothing is known yet.
  uint64_t bytes_each() const { return bytes_each_; }

  /// All of a lot of `many` came; the largest had so many bytes.
  void came(size_t many, uint64_t largest);
  /// Not all of a lot of `many` came in time.
  void too_much(size_t many);

private:
  size_t many_ = 1;
  /// From here on it grows by one.
  size_t careful_from_ = SIZE_MAX;
  uint64_t bytes_each_ = 0;
};

} // namespace kai
