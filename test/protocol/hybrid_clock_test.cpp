#include "protocol/hybrid_clock.hpp"

#include <algorithm>
#include <chrono>
#include <thread>
#include <vector>

#include <catch2/catch.hpp>

using namespace kai;

TEST_CASE("the clock follows the wall clock and goes on where that stands or runs back") {
  hybrid_clock clock;
  CHECK(clock.issue(100) == 100);
  CHECK(clock.issue(100) == 101);
  CHECK(clock.issue(50) == 102);
  CHECK(clock.issue(500) == 500);
}

TEST_CASE("a clock starts above its floor") {
  hybrid_clock clock{1000};
  CHECK(clock.now(5) == 1000);
  CHECK(clock.issue(5) == 1001);
}

TEST_CASE("what was observed is below everything issued later, and observing never runs back") {
  hybrid_clock clock;
  clock.observe(1000);
  CHECK(clock.issue(10) == 1001);
  clock.observe(500);
  CHECK(clock.issue(10) == 1002);
}

TEST_CASE("asking for the time issues nothing") {
  hybrid_clock clock;
  CHECK(clock.now(7) == 7);
  CHECK(clock.now(3) == 3);
  clock.issue(9);
  CHECK(clock.now(3) == 9);
  CHECK(clock.now(20) == 20);
}

TEST_CASE("the bound on disk lies ahead of the wall clock, and of a clock that is ahead of it") {
  constexpr timestamp s = 1'000'000;
  constexpr timestamp ahead = std::chrono::microseconds{limits::clock_bound_ahead}.count();
  constexpr timestamp step = std::chrono::microseconds{limits::clock_bound_step}.count();
  struct row {
    timestamp stamp;
    timestamp wall;
    timestamp bound;
  };
  for (auto& [stamp, wall, bound] : std::vector<row>{
           {100 * s, 100 * s, 100 * s + ahead},
           {101 * s, 100 * s, 100 * s + ahead},
           {200 * s, 100 * s, 200 * s + step},
           {100 * s, 90 * s, 100 * s + step},
       }) {
    CAPTURE(stamp, wall);
    CHECK(clock_bound_above(stamp, wall) == bound);
    CHECK(clock_bound_above(stamp, wall) > stamp);
  }
}

TEST_CASE("a node that crashes time and again does not take its clock further and further ahead") {
  timestamp wall = 1'000'000'000;
  timestamp bound = 0;
  for (int i = 0; i < 1000; ++i) {
    hybrid_clock clock{bound};
    auto stamp = clock.issue(wall);
    REQUIRE(stamp > bound);
    bound = clock_bound_above(stamp, wall);
    wall += 600'000;
  }
  CHECK(bound < wall + std::chrono::microseconds{limits::clock_bound_ahead}.count());
}

TEST_CASE("several threads never get one value, nor one at or below what they observed") {
  hybrid_clock clock;
  constexpr size_t each = 20'000;
  std::vector<std::vector<timestamp>> issued(4);
  std::atomic<bool> behind{false};
  std::vector<std::thread> threads;
  for (auto& mine : issued)
    threads.emplace_back([&] {
      for (size_t i = 0; i < each; ++i) {
        auto seen = clock.now(i) + i % 3;
        clock.observe(seen);
        mine.push_back(clock.issue(i));
        if (mine.back() <= seen)
          behind = true;
      }
    });
  for (auto& x : threads)
    x.join();
  CHECK_FALSE(behind);
  std::vector<timestamp> all;
  for (auto& x : issued) {
    CHECK(std::is_sorted(x.begin(), x.end()));
    all.insert(all.end(), x.begin(), x.end());
  }
  std::sort(all.begin(), all.end());
  CHECK(std::adjacent_find(all.begin(), all.end()) == all.end());
}

TEST_CASE("the best time follows the wall clock and goes on where that is set back") {
  best_time time;
  time.raise(1'000'000, 500);
  CHECK(time.at(500) == 1'000'000);
  CHECK(time.at(700) == 1'000'200);
  time.raise(1'000'900, 700);
  CHECK(time.at(700) == 1'000'900);
  time.raise(400'000, 900);
  CHECK(time.at(900) == 1'001'100);
  // A steady clock may be far above: it counts from anywhere.
  best_time other;
  other.raise(1'000, 5'000'000);
  CHECK(other.at(5'000'010) == 1'010);
  other.raise(2'000, 5'000'010);
  CHECK(other.at(5'000'010) == 2'000);
}
