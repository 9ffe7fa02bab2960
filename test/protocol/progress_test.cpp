#include "protocol/progress.hpp"

#include <catch2/catch.hpp>

using namespace kai;
using namespace std::chrono_literals;

namespace {

/// Three members that hold everything, and a fourth that is to have the first `moves` partitions.
topology moving(size_t moves) {
  topology x;
  x.epoch = 1;
  x.members.resize(4);
  x.replicas.assign(8, {0, 1, 2});
  for (size_t p = 0; p < moves; ++p)
    x.moves.push_back({static_cast<partition_id>(p), {0, 1, 3}});
  return x;
}

} // namespace

TEST_CASE("progress counts what has arrived since the changes began, and what is half way") {
  change_progress x;
  x.see(moving(0), 1s);
  CHECK(x.open() == 0);
  x.see(moving(4), 10s);
  CHECK(x.open() == 4);
  CHECK(x.done(0) == 0);
  CHECK_FALSE(x.remaining(0, 12s));
  CHECK(x.done(1) == 0.25);
  CHECK(x.remaining(0.25, 20s) == 30s);
  x.see(moving(1), 20s);
  CHECK(x.done(0) == 0.75);
  CHECK(x.done(0.5) == 0.875);
  CHECK(x.remaining(0.75, 40s) == 10s);
  // One more change meanwhile.
  x.see(moving(5), 30s);
  CHECK(x.done(0) == 3.0 / 8);
  x.see(moving(0), 40s);
  CHECK(x.open() == 0);
  CHECK(x.done(0) == 1);
  // The next one begins at nothing.
  x.see(moving(2), 50s);
  CHECK(x.done(0) == 0);
  CHECK(x.remaining(0.5, 51s) == 1s);
}

TEST_CASE("a place that only changes its rank in the list is not on its way") {
  auto x = moving(0);
  x.moves.push_back({3, {2, 1, 0}});
  change_progress progress;
  progress.see(x, 1s);
  CHECK(progress.open() == 0);
}

TEST_CASE("a rate is of the last seconds") {
  rate_meter x;
  CHECK(x.per_second(5s) == 0);
  for (int i = 0; i < 1000; ++i)
    x.add(1000, 10ms * i);
  CHECK(x.per_second(10s) == Approx(100'000).epsilon(0.05));
  CHECK(x.per_second(11s) < 70'000);
  CHECK(x.per_second(30s) < 100);
}
