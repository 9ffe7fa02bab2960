#include "actors/read_window.hpp"

#include "protocol/limits.hpp"

namespace kai {

void read_window::publish(std::vector<bool> behind) {
  std::lock_guard lock{mutex_};
  behind_ = std::move(behind);
}

void read_window::alive(time_point now) {
  std::lock_guard lock{mutex_};
  alive_ = now;
}

std::optional<answer> read_window::answer_to(const call& x, time_point now) {
  auto what = std::get_if<read_call>(&x.what);
  if (!what)
    return std::nullopt;
  auto caught_up = false;
  {
    std::lock_guard lock{mutex_};
    if (!alive_ || now - *alive_ > limits::probe_timeout)
      return std::nullopt;
    caught_up = x.partition < behind_.size() && !behind_[x.partition];
  }
  if (what->digest_only) {
    auto digest = records_->peek_digest(x.key.view());
    return digest ? std::optional{answer{x.id, digest_answer{*digest, caught_up}}} : std::nullopt;
  }
  auto value = records_->peek(x.key.view());
  return value ? std::optional{answer{x.id, record_answer{std::move(*value), caught_up}}}
               : std::nullopt;
}

void read_window::pass(const call& x) {
  if (std::holds_alternative<store_call>(x.what) || std::holds_alternative<apply_call>(x.what))
    records_->expect_write(x.key.view());
}

} // namespace kai
