#include "protocol/suspicion.hpp"

#include <catch2/catch.hpp>

#include "protocol/limits.hpp"

using namespace kai;
using namespace std::chrono_literals;

namespace {

using step = suspicion::step;

/// Ticks from `now` on until something is to be done or `until` has come.
step run(suspicion& x, std::chrono::milliseconds& now, std::chrono::milliseconds until) {
  while (now < until) {
    now += limits::peer_tick;
    auto what = x.tick(now);
    if (what != step::nothing)
      return what;
  }
  return step::nothing;
}

} // namespace

TEST_CASE("a node that gives signs is never suspected") {
  suspicion x;
  auto now = 5000ms;
  x.on_connected(now);
  for (int i = 0; i < 100; ++i) {
    CHECK(run(x, now, now + limits::probe_interval) == step::nothing);
    x.on_sign(now);
  }
  CHECK_FALSE(x.suspected());
}

TEST_CASE(
    "the others are asked once about a silent node, and without a word from them it is lost") {
  suspicion x;
  auto now = 5000ms;
  auto silent_since = now;
  x.on_connected(now);
  CHECK(run(x, now, now + 10s) == step::ask_others);
  CHECK(x.suspected());
  CHECK(now - silent_since > limits::suspect_after);
  CHECK(run(x, now, now + 10s) == step::lost);
  CHECK(now - silent_since > limits::probe_timeout);
  CHECK(now - silent_since <= limits::probe_timeout + limits::peer_tick);
}

TEST_CASE("a quiet node is probed in its interval, one that gives signs is not") {
  suspicion x;
  auto now = 1000ms;
  x.on_connected(now);
  auto probes_in = [&](std::chrono::milliseconds length, bool signs) {
    int n = 0;
    for (auto end = now + length; now < end;) {
      now += limits::peer_tick;
      if (signs)
        x.on_sign(now);
      x.tick(now);
      n += x.probe_due(now) ? 1 : 0;
    }
    return n;
  };
  CHECK(probes_in(10 * limits::probe_interval, true) == 0);
  // The first comes a tick early: the silence is one probe's interval when the next tick comes.
  CHECK(probes_in(limits::probe_interval - limits::peer_tick, false) == 1);
  CHECK(probes_in(limits::probe_interval - limits::peer_tick, false) == 0);
  CHECK(probes_in(limits::peer_tick, false) == 1);
}

TEST_CASE("a silent node that nobody reaches is lost sooner, one that somebody reaches is not") {
  for (auto reached : {false, true}) {
    suspicion x;
    auto now = 0ms;
    x.on_connected(now);
    REQUIRE(run(x, now, now + 10s) == step::ask_others);
    x.on_witness(false);
    if (reached)
      x.on_witness(true);
    CHECK(run(x, now, now + 10s) == step::lost);
    auto patience = reached ? limits::probe_timeout : limits::probe_timeout_unreached;
    CHECK(now > patience);
    CHECK(now <= patience + limits::peer_tick);
  }
}

TEST_CASE("a sign ends the suspicion, and what others said with it") {
  suspicion x;
  auto now = 0ms;
  x.on_connected(now);
  REQUIRE(run(x, now, now + 10s) == step::ask_others);
  x.on_witness(false);
  x.on_sign(now);
  CHECK_FALSE(x.suspected());
  x.on_witness(false);
  auto silent_since = now;
  CHECK(run(x, now, now + 10s) == step::ask_others);
  CHECK(run(x, now, now + 10s) == step::lost);
  CHECK(now - silent_since > limits::probe_timeout);
}

TEST_CASE("a node that was stopped itself does not take the others for silent") {
  suspicion x;
  auto now = 0ms;
  x.on_connected(now);
  CHECK(run(x, now, 200ms) == step::nothing);
  now += 30s;
  CHECK(x.tick(now) == step::nothing);
  // From here on silence counts again.
  CHECK(run(x, now, now + 10s) == step::ask_others);
  CHECK(run(x, now, now + 10s) == step::lost);
  CHECK(now < 30s + 2 * limits::probe_timeout);
}
