#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "apps/bench/options.hpp"
#include "apps/bench/random.hpp"

namespace kai::bench {

/// Chooses the number of the next key: every one alike, or by Zipf's law, where the key of rank k
/// is asked for in proportion to 1 / k^theta and key 0 is the most popular one.
class key_chooser {
public:
  key_chooser(distribution_kind kind, uint64_t keys, double theta);

  uint64_t next(random_source& random) const {
    return kind_ == distribution_kind::uniform ? random.next_below(keys_) : next_zipf(random);
  }

private:
  // Rejection-inversion: W. Hörmann, G. Derflinger, "Rejection-inversion to generate variates from
  // monotone discrete distributions", 1996. No table, any theta above 0.
  uint64_t next_zipf(random_source& random) const;
  double integral(double x) const;
  double inverse_integral(double y) const;
  double density(double x) const;

  distribution_kind kind_;
  uint64_t keys_;
  double theta_;
  double first_ = 0;
  double last_ = 0;
  double sure_ = 0;
};

/// Writes keys: a prefix and a number of fixed width, so that all keys are equally long.
class key_names {
public:
  key_names(std::string prefix, uint64_t keys);

  void append_to(std::string& out, uint64_t number) const;

  /// The name, in a buffer of its own.
  std::string name(uint64_t number) const;

private:
  std::string prefix_;
  unsigned width_;
};

} // namespace kai::bench
