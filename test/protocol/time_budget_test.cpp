#include "protocol/time_budget.hpp"

#include <vector>

#include <catch2/catch.hpp>

#include "protocol/limits.hpp"
#include "protocol/messages.hpp"

using namespace kai;
using namespace std::chrono_literals;
using kind = mutation_kind;

namespace {

mutation of(kind what, size_t value_bytes = 1) {
  mutation x;
  x.kind = what;
  x.value = blob::copy_of(std::string(value_bytes, 'v'));
  return x;
}

mutation with_cas(kind what) {
  auto x = of(what);
  x.compare = 5;
  return x;
}

constexpr time_budget::time moment{1};

} // namespace

TEST_CASE("an operation is tried for as long as its last attempt can end within the client's 2 s") {
  struct row {
    const char* what;
    time_budget budget;
    time_budget::time tries;
    time_budget::time tries_blindly;
    time_budget::time begins_anew;
    time_budget::time calls;
  };
  for (auto& x : std::vector<row>{
           {"a read", {}, 950ms, 950ms, 950ms, 1500ms},
           {"a set", {of(kind::set), false}, 950ms, 950ms, 950ms, 1500ms},
           {"a set that another node asked for", {of(kind::set), true}, 950ms, 950ms, 950ms, 400ms},
           {"an increment", {of(kind::increment), false}, 200ms, 200ms, 600ms, 1500ms},
           {"one that another node asked for",
            {of(kind::increment), true},
            200ms,
            200ms,
            600ms,
            1250ms},
           {"a delete", {of(kind::remove), false}, 550ms, 950ms, 600ms, 1500ms},
           {"one that another node asked for",
            {of(kind::remove), true},
            550ms,
            950ms,
            600ms,
            400ms},
           {"a delete with a cas unique",
            {with_cas(kind::remove), false},
            200ms,
            200ms,
            600ms,
            1500ms},
           {"a set of 16 MiB", {of(kind::set, 16 << 20), false}, 950ms, 950ms, 950ms, 2012ms},
       }) {
    CAPTURE(x.what);
    CHECK(x.budget.may_try(0ms));
    CHECK(x.budget.may_try(x.tries));
    CHECK_FALSE(x.budget.may_try(x.tries + moment));
    CHECK(x.budget.may_try_blindly(x.tries_blindly));
    CHECK_FALSE(x.budget.may_try_blindly(x.tries_blindly + moment));
    CHECK(x.budget.may_begin_anew(x.begins_anew - moment));
    CHECK_FALSE(x.budget.may_begin_anew(x.begins_anew));
    CHECK(x.budget.may_call(x.calls));
    CHECK_FALSE(x.budget.may_call(x.calls + moment));
  }
  // What limits.hpp says of the longest chains.
  CHECK(limits::attempts_until + limits::lead_deadline <= limits::request_deadline);
  CHECK(limits::blind_attempts_until + limits::blind_lead_deadline <= limits::request_deadline);
  // A look that comes to nothing is over, and its refusal here, before the last blind attempt.
  CHECK(limits::delete_looks_until + limits::repeatable_decide_within + 2 * limits::doubt_pause <=
        limits::blind_attempts_until);
}

TEST_CASE("no leader is waited for longer than the client waits") {
  struct row {
    kind what;
    time_budget::time elapsed;
    std::chrono::milliseconds patience;
  };
  for (auto& [what, elapsed, patience] : std::vector<row>{
           {kind::increment, 0ms, 1700ms},
           {kind::increment, 200ms, 1700ms},
           {kind::increment, 201ms, 1699ms},
           {kind::increment, 200ms + moment, 1700ms},
           {kind::increment, 625ms, 1275ms},
           {kind::set, 0ms, 850ms},
           {kind::set, 950ms, 850ms},
           {kind::remove, 950ms, 850ms},
       }) {
    CAPTURE(elapsed.count());
    time_budget budget{of(what), false};
    CHECK(budget.patience_for_leader(elapsed) == patience);
    CHECK(elapsed + patience + limits::peer_tick <= limits::request_deadline + 1ms);
  }
  // The process was stopped meanwhile.
  CHECK(time_budget{of(kind::increment), false}.patience_for_leader(3s) == 1ms);
}

TEST_CASE("a write is decided again a few times, and longer where it was tried before") {
  struct row {
    time_budget::time elapsed;
    size_t rounds;
    bool tried;
    bool may;
  };
  constexpr auto most = limits::conditional_rounds_max;
  time_budget budget{of(kind::increment), false};
  for (auto& [elapsed, rounds, tried, may] : std::vector<row>{
           {0ms, 0, false, true},
           {200ms, most - 1, false, true},
           {0ms, most, false, false},
           {0ms, most, true, false},
           {201ms, 1, false, false},
           {201ms, 1, true, true},
           {599ms, most - 1, true, true},
           {600ms, 1, true, false},
       }) {
    CAPTURE(elapsed.count(), rounds, tried);
    CHECK(budget.may_decide_again(elapsed, rounds, tried) == may);
    // Its leader has no longer, whatever the next one is asked for.
    CHECK(time_budget{of(kind::remove), false}.may_decide_again(elapsed, rounds, tried) == may);
  }
}

TEST_CASE("the next leader is asked at once where that takes the clock little ahead") {
  constexpr timestamp s = 1'000'000;
  constexpr timestamp within = 300'000;
  struct row {
    const char* what;
    timestamp lead; // of the cluster's clock, when the first leader was asked
    timestamp waited;
    std::chrono::microseconds wait;
  };
  for (auto& [what, lead, waited, wait] : std::vector<row>{
           {"the clock is right, the leader failed at once", 0, 0, 0us},
           {"it was ahead by what is allowed, with this", s - within, 0, 0us},
           {"further ahead", s - within + 1, 0, 300ms},
           {"some of the time is over", 8 * s, 100'000, 200ms},
           {"all of it", 8 * s, within, 0us},
           {"and more", 8 * s, s, 0us},
           {"the clock came back meanwhile", s, within - 1, 1us},
           {"near enough", s - 1, within - 1, 0us},
       }) {
    CAPTURE(what);
    constexpr timestamp asked = 1000 * s;
    auto now = asked + waited;
    decision_time x{asked + lead + within, asked + within};
    CHECK(wait_for_next_leader(x, now) == wait);
    // However often: afterwards the clock is above the time, and ahead by no more than before or
    // than is allowed.
    auto later = now + static_cast<timestamp>(wait.count());
    CHECK((x.until <= later + lead || x.until <= later + s));
  }
  CHECK(wait_for_next_leader({}, 5) == 0us);
}
