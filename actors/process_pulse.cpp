#include "actors/process_pulse.hpp"

#include "protocol/limits.hpp"

namespace kai {

namespace {

constexpr auto gap_min = std::chrono::steady_clock::duration{limits::probe_timeout}.count();

} // namespace

void process_pulse::beat(time_point now) {
  auto at = now.time_since_epoch().count();
  auto before = last_.exchange(at);
  if (before != 0 && at - before > gap_min)
    gap_ended_ = at;
}

bool process_pulse::missed(time_point since, time_point now) const {
  auto last = last_.load();
  return (last != 0 && now.time_since_epoch().count() - last > gap_min) ||
         gap_ended_ > since.time_since_epoch().count();
}

process_pulse& pulse() {
  static process_pulse result;
  return result;
}

} // namespace kai
