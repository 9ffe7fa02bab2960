#include "test/support/virtual_time.hpp"

#include <chrono>

#include <caf/send.hpp>

#include "actors/node_core.hpp"

namespace kai {

virtual_time::config::config() {
  set("scheduler.policy", caf::atom("testing"));
  add_messages(*this);
}

virtual_time::virtual_time()
    : sys(config_), scheduler(dynamic_cast<caf::scheduler::test_coordinator&>(sys.scheduler())),
      self(sys) {}

virtual_time::~virtual_time() {
  for (auto& x : owned_)
    caf::anon_send_exit(x, caf::exit_reason::user_shutdown);
  owned_.clear();
  run();
}

void virtual_time::run() {
  while (scheduler.try_run_once()) {
  }
}

void virtual_time::advance(caf::timespan x) {
  constexpr caf::timespan step = std::chrono::milliseconds{5};
  run();
  while (x > caf::timespan{0}) {
    auto now = std::min(x, step);
    scheduler.clock().advance_time(now);
    run();
    x -= now;
  }
}

timestamp virtual_time::wall_now() const {
  auto passed = const_cast<caf::scheduler::test_coordinator&>(scheduler).clock().now();
  auto us = std::chrono::duration_cast<std::chrono::microseconds>(passed.time_since_epoch());
  return 1'700'000'000'000'000 + static_cast<timestamp>(us.count());
}

context_ptr virtual_time::make_context(const std::string& name) {
  auto result = std::make_shared<node_context>();
  result->name = name;
  result->id = key_hash(name);
  result->wall_clock = [this] { return wall_now(); };
  result->started = wall_now();
  result->log.set_level(log_level::error);
  result->options.storage.engine = engine_kind::memory;
  return result;
}

} // namespace kai
