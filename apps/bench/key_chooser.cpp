#include "apps/bench/key_chooser.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

namespace kai::bench {

namespace {

constexpr double near_one = 1e-9;

} // namespace

key_chooser::key_chooser(distribution_kind kind, uint64_t keys, double theta)
    : kind_(kind), keys_(keys), theta_(theta) {
  if (kind_ != distribution_kind::zipf)
    return;
  first_ = integral(1.5) - 1;
  last_ = integral(static_cast<double>(keys_) + 0.5);
  sure_ = 2 - inverse_integral(integral(2.5) - density(2));
}

double key_chooser::integral(double x) const {
  if (std::abs(theta_ - 1) < near_one)
    return std::log(x);
  return (std::pow(x, 1 - theta_) - 1) / (1 - theta_);
}

double key_chooser::inverse_integral(double y) const {
  if (std::abs(theta_ - 1) < near_one)
    return std::exp(y);
  // Rounding may push the base below 0 at the far end, where the power would not be a number.
  return std::pow(std::max(0.0, 1 + y * (1 - theta_)), 1 / (1 - theta_));
}

double key_chooser::density(double x) const { return std::pow(x, -theta_); }

uint64_t key_chooser::next_zipf(random_source& random) const {
  for (;;) {
    auto u = last_ + random.next_unit() * (first_ - last_);
    auto x = inverse_integral(u);
    auto rank = std::clamp(std::floor(x + 0.5), 1.0, static_cast<double>(keys_));
    if (rank - x <= sure_ || u >= integral(rank + 0.5) - density(rank))
      return static_cast<uint64_t>(rank) - 1;
  }
}

key_names::key_names(std::string prefix, uint64_t keys)
    : prefix_(std::move(prefix)),
      width_(static_cast<unsigned>(std::to_string(keys > 0 ? keys - 1 : 0).size())) {}

void key_names::append_to(std::string& out, uint64_t number) const {
  out.append(prefix_);
  auto start = out.size();
  out.resize(start + width_);
  for (auto i = start + width_; i > start; --i) {
    out[i - 1] = static_cast<char>('0' + number % 10);
    number /= 10;
  }
}

std::string key_names::name(uint64_t number) const {
  std::string result;
  append_to(result, number);
  return result;
}

} // namespace kai::bench
