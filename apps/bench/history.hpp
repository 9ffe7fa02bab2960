#pragma once

#include <array>
#include <cstdint>
#include <mutex>
#include <vector>

#include "apps/bench/value.hpp"

namespace kai::bench {

/// What a read may answer, given what was acknowledged before it was sent.
///
/// Of two writes to a key of which one began after the other was acknowledged, the later one must
/// be seen; of concurrent ones, any. So a write that was alone when it began, once acknowledged,
/// sets a floor: reads sent from then on must answer it or one that began later. A write without a
/// clear answer may happen at any time, so it stays under way for ever and the floor stays where
/// it is: the check says nothing rather than something wrong. One run is one history; the keys must
/// not be written by anybody else meanwhile. Shared by all threads.
class history {
public:
  explicit history(uint64_t keys, uint32_t run);

  /// A write under way.
  struct ticket {
    uint32_t version = 0;
    bool alone = false;
  };

  ticket begin_write(uint64_t key);

  /// The write was acknowledged. A write that was not needs no call.
  void end_write(uint64_t key, ticket write);

  /// The floor for a read that is sent now; 0 where nothing is known.
  uint32_t floor(uint64_t key);

  enum class verdict : uint8_t { fine, stale, wrong };

  /// A read sent when `floor` was the floor answered `stamp`. `wrong`: that was never written.
  verdict check(uint64_t key, uint32_t floor, value_stamp stamp);

  uint32_t run() const { return run_; }

private:
  struct entry {
    uint32_t issued = 0;
    uint32_t floor = 0;
    uint32_t under_way = 0;
  };

  std::mutex& lock_of(uint64_t key) { return locks_[key % locks_.size()]; }

  uint32_t run_;
  std::vector<entry> entries_;
  std::array<std::mutex, 64> locks_;
};

} // namespace kai::bench
