#include "apps/bench/histogram.hpp"

#include <algorithm>
#include <random>

#include <catch2/catch.hpp>

using kai::bench::histogram;

TEST_CASE("a histogram's buckets follow each other without gap or overlap") {
  auto last = histogram::index_of(histogram::value_max);
  uint64_t expected = 0;
  for (size_t i = 0; i < last; ++i) {
    INFO("bucket " << i);
    REQUIRE(histogram::index_of(expected) == i);
    REQUIRE(histogram::index_of(histogram::upper_edge(i)) == i);
    expected = histogram::upper_edge(i) + 1;
  }
}

TEST_CASE("a histogram is exact below 2048 us and right to three digits above") {
  for (uint64_t x : {0, 1, 2047, 2048, 2049, 12'345, 999'999, 59'999'999}) {
    INFO("value " << x);
    auto edge = histogram::upper_edge(histogram::index_of(x));
    CHECK(edge >= x);
    CHECK((edge - x) * 1024 <= x);
    if (x < 2048)
      CHECK(edge == x);
  }
}

TEST_CASE("a histogram's percentiles are those of the sorted values") {
  constexpr uint64_t seed = 7;
  INFO("seed " << seed);
  std::mt19937_64 random{seed};
  std::vector<uint64_t> values;
  histogram h;
  for (int i = 0; i < 10'000; ++i) {
    auto x = random() % (uint64_t{1} << (random() % 26));
    values.push_back(x);
    h.record(x);
  }
  std::sort(values.begin(), values.end());
  for (auto percent : {1.0, 10.0, 50.0, 90.0, 99.0, 99.9, 99.99}) {
    INFO("percent " << percent);
    auto truth = values[static_cast<size_t>(percent * 100 + 0.5) - 1];
    CHECK(h.percentile(percent) >= truth);
    CHECK(h.percentile(percent) - truth <= truth / 1024);
  }
  CHECK(h.percentile(100) == values.back());
  CHECK(h.count() == values.size());
}

TEST_CASE("a histogram counts what is too large, and keeps the true maximum") {
  histogram h;
  h.record(5);
  h.record(histogram::value_max * 3);
  CHECK(h.count() == 2);
  CHECK(h.max() == histogram::value_max * 3);
  CHECK(h.percentile(50) == 5);
  CHECK(h.percentile(99) == histogram::value_max * 3);
}

TEST_CASE("merged histograms equal one that recorded everything") {
  histogram a, b, all;
  for (uint64_t x = 1; x < 5000; x += 3) {
    (x % 2 == 0 ? a : b).record(x);
    all.record(x);
  }
  a.merge(b);
  CHECK(a.count() == all.count());
  CHECK(a.mean() == Approx(all.mean()));
  CHECK(a.percentile(90) == all.percentile(90));
  a.clear();
  CHECK(a.count() == 0);
  CHECK(a.percentile(90) == 0);
  CHECK(a.curve().empty());
}

TEST_CASE("a percentile curve rises to the maximum at 100 percent") {
  histogram h;
  for (uint64_t x = 1; x <= 1000; ++x)
    h.record(x);
  auto curve = h.curve();
  REQUIRE(curve.size() > 20);
  CHECK(std::is_sorted(curve.begin(), curve.end(), [](const auto& a, const auto& b) {
    return a.percent < b.percent || a.microseconds < b.microseconds;
  }));
  CHECK(curve.back().percent == 100);
  CHECK(curve.back().microseconds == 1000);
}
