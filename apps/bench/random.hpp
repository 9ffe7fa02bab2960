#pragma once

#include <cstdint>

namespace kai::bench {

/// Mixes all bits of `x`: SplitMix64's finalizer (Steele, Lea, Flood 2014).
constexpr uint64_t mix(uint64_t x) {
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

/// SplitMix64: small and quick, good enough to choose keys. The same seed gives the same sequence.
class random_source {
public:
  explicit random_source(uint64_t seed) : state_(mix(seed)) {}

  uint64_t next() { return mix(state_ += 0x9e3779b97f4a7c15u); }

  /// From 0 up to, but not, 1.
  double next_unit() { return static_cast<double>(next() >> 11) * 0x1.0p-53; }

  /// From 0 to `bound` - 1.
  uint64_t next_below(uint64_t bound) {
    return static_cast<uint64_t>((static_cast<unsigned __int128>(next()) * bound) >> 64);
  }

private:
  uint64_t state_;
};

} // namespace kai::bench
