#include "protocol/time_budget.hpp"

#include <algorithm>

#include "protocol/limits.hpp"
#include "protocol/messages.hpp"

namespace kai {

namespace {

constexpr time_budget::time one_call = limits::call_deadline + limits::peer_tick;

} // namespace

time_budget::time_budget()
    : attempts_until_(limits::blind_attempts_until),
      decide_again_until_(limits::blind_attempts_until),
      blind_attempts_until_(limits::blind_attempts_until),
      begin_anew_until_(limits::blind_attempts_until),
      calls_until_(limits::request_deadline - one_call) {}

time_budget::time_budget(const mutation& write, bool forwarded) : time_budget() {
  if (conditional(write)) {
    decide_again_until_ = limits::attempts_until;
    if (always_writable(write))
      attempts_until_ = limits::delete_looks_until;
    else
      attempts_until_ = blind_attempts_until_ = limits::attempts_until;
    begin_anew_until_ = limits::attempts_until + limits::call_deadline;
  }
  lead_deadline_ = lead_deadline_of(write);
  time patience =
      forwarded ? lead_deadline_ : limits::request_deadline + 2 * extra_for(write.value.size());
  calls_until_ = patience - one_call;
}

std::chrono::milliseconds time_budget::patience_for_leader(time elapsed) const {
  auto left = calls_until_ + limits::call_deadline - elapsed;
  constexpr std::chrono::milliseconds least{1};
  return std::clamp(std::chrono::ceil<std::chrono::milliseconds>(left), least, lead_deadline_);
}

bool time_budget::may_decide_again(time elapsed, size_t rounds, bool tried) const {
  auto time = tried ? may_begin_anew(elapsed) : elapsed <= decide_again_until_;
  return time && rounds < limits::conditional_rounds_max;
}

std::chrono::microseconds wait_for_next_leader(const decision_time& x, timestamp wall_now) {
  constexpr std::chrono::microseconds lead = limits::clock_lead_max;
  auto near = x.until <= wall_now + static_cast<timestamp>(lead.count());
  return std::chrono::microseconds{near || x.by_wall <= wall_now ? 0 : x.by_wall - wall_now};
}

} // namespace kai
