#include "protocol/pace.hpp"

#include <catch2/catch.hpp>

#include "protocol/limits.hpp"

using namespace kai;
using namespace std::chrono_literals;

TEST_CASE("a background job takes clients for busy until it heard that they are not") {
  pace x;
  CHECK(x.busy());
  struct row {
    uint64_t requests;
    pace::duration within;
    bool busy;
  };
  for (auto& [requests, within, busy] : std::vector<row>{{0, 1s, false},
                                                         {5, 1s, false},
                                                         {6, 1s, true},
                                                         {40, 10s, false},
                                                         {60, 10s, true},
                                                         {1, 100ms, true},
                                                         {1, 0s, true},
                                                         {0, 0s, false}}) {
    x.heard(requests, within);
    CHECK(x.busy() == busy);
  }
}

TEST_CASE("lots are smaller while clients are busy, never empty, and small ones of large things") {
  pace x;
  struct row {
    size_t most;
    uint64_t bytes_each;
    size_t busy;
    size_t idle;
  };
  for (auto& [most, bytes_each, busy, idle] : std::vector<row>{{32, 0, 16, 32},
                                                               {32, 100, 16, 32},
                                                               {32, 32 * 1024, 8, 32},
                                                               {32, 1024 * 1024, 1, 4},
                                                               {32, 128 * 1024 * 1024, 1, 1},
                                                               {2, 0, 1, 2}}) {
    x.heard(1000, 1s);
    CHECK(x.lot(most, bytes_each) == busy);
    x.heard(0, 1s);
    CHECK(x.lot(most, bytes_each) == idle);
  }
}

TEST_CASE("records of unknown size come one, two, four at a time, and after too much slowly more") {
  record_lots x;
  auto next_is = [&](size_t many) {
    CHECK(x.next(32) == many);
    return x.next(32);
  };
  CHECK(x.bytes_each() == 0);
  for (size_t many : {1, 2, 4, 8, 16, 32, 32})
    x.came(next_is(many), 1000);
  CHECK(x.bytes_each() == 1000);
  x.too_much(32);
  for (size_t many : {16, 17, 18})
    x.came(next_is(many), 2000);
  CHECK(x.bytes_each() == 2000);
  // What was cut short tells nothing of more.
  x.came(x.next(3), 2000);
  CHECK(x.next(3) == 3);
  x.too_much(next_is(19));
  next_is(9);
  for (int i = 0; i < 10; ++i)
    x.too_much(x.next(32));
  next_is(1);
  x.came(1, 5);
  next_is(2);
  CHECK(x.next(0) == 1);
}

TEST_CASE(
    "the rest follows what a lot took while clients are busy, and is none when they are not") {
  pace x;
  x.heard(1000, 1s);
  CHECK(x.rest(0ns, 1) == limits::busy_rest_min);
  CHECK(x.rest(1ms, 1) == 4ms);
  CHECK(x.rest(1ms, 4) == 16ms);
  CHECK(x.rest(1ms, 0) == 4ms);
  CHECK(x.rest(1h, 1000) == limits::busy_rest_max);
  x.heard(0, 1s);
  CHECK(x.rest(10s, 4) == 0ns);
}
