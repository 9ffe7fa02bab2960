#include "apps/bench/value.hpp"

#include <random>

#include <catch2/catch.hpp>

#include "apps/bench/history.hpp"

using namespace kai::bench;

namespace {

std::optional<value_stamp> check(const value_maker& maker, uint64_t hash, std::string_view value,
                                 size_t step) {
  value_checker checker{maker};
  checker.begin(hash, value.size());
  for (size_t at = 0; at < value.size(); at += step)
    checker.feed(value.substr(at, step));
  return checker.finish();
}

} // namespace

TEST_CASE("a value says who wrote it, in whatever pieces it is read") {
  value_maker maker{300};
  for (uint64_t bytes : {44, 45, 300}) {
    std::string value;
    maker.append_to(value, 0x1234, {7, 42}, bytes);
    REQUIRE(value.size() == bytes);
    for (size_t step : {1, 7, 43, 44, 45, 300}) {
      INFO(bytes << " bytes in pieces of " << step);
      auto stamp = check(maker, 0x1234, value, step);
      REQUIRE(stamp);
      CHECK(stamp->run == 7);
      CHECK(stamp->version == 42);
    }
  }
}

TEST_CASE("a value with any byte changed, cut, or of another key is found wrong") {
  value_maker maker{200};
  std::string value;
  maker.append_to(value, 99, {1, 2}, 150);
  for (size_t i = 0; i < value.size(); ++i) {
    INFO("byte " << i);
    auto changed = value;
    changed[i] = changed[i] == 'x' ? 'y' : 'x';
    CHECK_FALSE(check(maker, 99, changed, 64));
  }
  CHECK_FALSE(check(maker, 98, value, 64));
  CHECK_FALSE(check(maker, 99, value.substr(0, 149), 64));
  CHECK_FALSE(check(maker, 99, value + "x", 64));
  CHECK_FALSE(check(maker, 99, value.substr(0, 20), 64));
  CHECK_FALSE(check(maker, 99, std::string(201, 'x'), 64));
}

TEST_CASE("a short value is the beginning of a long one's header") {
  value_maker maker{10};
  std::string value;
  maker.append_to(value, 99, {0xabcd, 2}, 10);
  CHECK(value == "0000abcd 0");
}

TEST_CASE("after an acknowledged write an older value is stale") {
  history known{10, 5};
  CHECK(known.floor(3) == 0);
  CHECK(known.check(3, 0, {4, 1}) == history::verdict::fine);
  auto first = known.begin_write(3);
  known.end_write(3, first);
  auto second = known.begin_write(3);
  CHECK(known.floor(3) == 1);
  known.end_write(3, second);
  CHECK(known.floor(3) == 2);
  CHECK(known.check(3, 2, {5, 1}) == history::verdict::stale);
  CHECK(known.check(3, 2, {4, 9}) == history::verdict::stale);
  CHECK(known.check(3, 2, {5, 2}) == history::verdict::fine);
  CHECK(known.check(3, 2, {5, 3}) == history::verdict::wrong);
  CHECK(known.check(3, 1, {5, 1}) == history::verdict::fine);
}

TEST_CASE("of concurrent writes either may win") {
  history known{1, 5};
  auto first = known.begin_write(0);
  auto second = known.begin_write(0);
  known.end_write(0, second);
  CHECK(known.floor(0) == 0);
  known.end_write(0, first);
  CHECK(known.floor(0) == 1);
  CHECK(known.check(0, 1, {5, 2}) == history::verdict::fine);
}

TEST_CASE("a write without an answer may still happen later, so it raises no floor") {
  history known{1, 5};
  auto first = known.begin_write(0);
  known.end_write(0, first);
  known.begin_write(0);
  auto third = known.begin_write(0);
  known.end_write(0, third);
  CHECK(known.floor(0) == 1);
  CHECK(known.check(0, 1, {5, 2}) == history::verdict::fine);
}

TEST_CASE("an atomic register never fails the check, whatever order concurrent writes take") {
  constexpr uint64_t seed = 11;
  INFO("seed " << seed);
  std::mt19937_64 random{seed};
  history known{1, 5};
  uint32_t stored = 0;
  struct write {
    history::ticket ticket;
    bool done;
  };
  std::vector<write> under_way;
  for (int i = 0; i < 20'000; ++i) {
    auto dice = random() % 4;
    if (dice == 0 && under_way.size() < 3) {
      under_way.push_back({known.begin_write(0), false});
    } else if (dice == 1 && !under_way.empty()) {
      auto& x = under_way[random() % under_way.size()];
      if (!x.done)
        stored = x.ticket.version;
      x.done = true;
    } else if (dice == 2 && !under_way.empty() && under_way.front().done) {
      known.end_write(0, under_way.front().ticket);
      under_way.erase(under_way.begin());
    } else if (stored > 0) {
      REQUIRE(known.check(0, known.floor(0), {5, stored}) == history::verdict::fine);
    }
  }
  CHECK(known.floor(0) > 100);
}
