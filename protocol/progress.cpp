#include "protocol/progress.hpp"

#include <algorithm>
#include <cmath>

namespace kai {

namespace {

constexpr std::chrono::duration<double> memory{2};

} // namespace

double rate_meter::faded(duration now) const {
  return std::exp(-std::max<double>(0, (now - at_) / memory));
}

void rate_meter::add(uint64_t bytes, duration now) {
  rate_ = rate_ * faded(now) + static_cast<double>(bytes) / memory.count();
  at_ = std::max(at_, now);
}

uint64_t rate_meter::per_second(duration now) const {
  return static_cast<uint64_t>(rate_ * faded(now));
}

void change_progress::see(const topology& x, duration now) {
  size_t open = 0;
  for (auto& move : x.moves)
    open += x.holders_of(move.partition).size() - x.replicas[move.partition].size();
  if (open_ == 0 || open == 0) {
    began_ = now;
    arrived_ = 0;
  } else if (open < open_) {
    arrived_ += open_ - open;
  }
  open_ = open;
}

double change_progress::done(double shares) const {
  auto all = static_cast<double>(arrived_ + open_);
  return all > 0 ? (static_cast<double>(arrived_) + shares) / all : 1;
}

std::optional<change_progress::duration> change_progress::remaining(double done,
                                                                    duration now) const {
  if (done <= 0)
    return std::nullopt;
  return std::chrono::duration_cast<duration>((now - began_) * ((1 - done) / done));
}

} // namespace kai
