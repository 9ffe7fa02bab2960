#include "protocol/pace.hpp"

#include <algorithm>

#include "protocol/limits.hpp"

namespace kai {

void pace::heard(uint64_t requests, duration within) {
  auto seconds = std::chrono::duration<double>(within).count();
  busy_ = static_cast<double>(requests) > limits::idle_requests_per_second * seconds;
}

size_t pace::lot(size_t most, uint64_t bytes_each) const {
  auto many = busy_ ? most / limits::busy_lot_share : most;
  auto bytes = busy_ ? limits::busy_lot_bytes : limits::idle_lot_bytes;
  if (bytes_each > 0)
    many = std::min<uint64_t>(many, bytes / bytes_each);
  return std::max<size_t>(many, 1);
}

pace::duration pace::rest(duration took, size_t jobs) const {
  if (!busy_)
    return duration::zero();
  auto rest = static_cast<double>(took.count()) * limits::busy_rest_share *
              static_cast<double>(std::max<size_t>(jobs, 1));
  auto most = static_cast<double>(duration{limits::busy_rest_max}.count());
  return std::max<duration>(duration{static_cast<int64_t>(std::min(rest, most))},
                            limits::busy_rest_min);
}

size_t record_lots::next(size_t most) const { return std::clamp<size_t>(most, 1, many_); }

void record_lots::came(size_t many, uint64_t largest) {
  bytes_each_ = largest;
  // What was less than it could have been says nothing of more.
  if (many >= many_)
    many_ = many_ < careful_from_ ? std::min(2 * many_, careful_from_) : many_ + 1;
}

void record_lots::too_much(size_t many) { many_ = careful_from_ = std::max<size_t>(many / 2, 1); }

} // namespace kai
