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
