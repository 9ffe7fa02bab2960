#include "actors/process_pulse.hpp"

#include <catch2/catch.hpp>

#include "protocol/limits.hpp"

using namespace kai;
using namespace std::chrono_literals;

TEST_CASE("a process that stood still is told from one whose loops were at work") {
  process_pulse pulse;
  process_pulse::time_point began{100s};
  auto stop = limits::probe_timeout + 50ms;
  // Where no loop has ever been at work nothing is known.
  CHECK_FALSE(pulse.missed(began, began + 2 * stop));
  auto now = began;
  for (; now < began + 2 * stop; now += 100ms)
    pulse.beat(now);
  CHECK_FALSE(pulse.missed(began, now));
  // Nobody has seen the end of the stop yet.
  now += stop;
  CHECK(pulse.missed(began, now));
  // A loop came first.
  pulse.beat(now);
  CHECK(pulse.missed(began, now + 1ms));
  // It was before.
  CHECK_FALSE(pulse.missed(now, now + 1ms));
}
