#include "protocol/suspicion.hpp"

#include "protocol/limits.hpp"

namespace kai {

void suspicion::on_connected(time now) {
  last_tick_ = now;
  on_sign(now);
}

void suspicion::on_sign(time now) {
  last_sign_ = now;
  asked_ = reached_ = missed_ = false;
}

void suspicion::on_witness(bool reached) {
  if (asked_)
    (reached ? reached_ : missed_) = true;
}

suspicion::step suspicion::tick(time now) {
  auto late = now - last_tick_ - 3 * limits::peer_tick;
  last_tick_ = now;
  if (late > time{0})
    last_sign_ += late;
  auto silent = now - last_sign_;
  auto patience = confirmed() ? limits::probe_timeout_unreached : limits::probe_timeout;
  if (silent > patience)
    return step::lost;
  if (silent <= limits::suspect_after || asked_)
    return step::nothing;
  asked_ = true;
  return step::ask_others;
}

bool suspicion::probe_due(time now) {
  auto quiet = now - last_sign_ >= limits::probe_interval - limits::peer_tick;
  if (!quiet || now - last_probe_ < limits::probe_interval)
    return false;
  last_probe_ = now;
  return true;
}

} // namespace kai
