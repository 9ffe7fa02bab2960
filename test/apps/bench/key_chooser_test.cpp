#include "apps/bench/key_chooser.hpp"

#include <cmath>
#include <vector>

#include <catch2/catch.hpp>

using namespace kai::bench;

namespace {

std::vector<double> shares(const key_chooser& chooser, uint64_t keys) {
  constexpr int draws = 200'000;
  random_source random{3};
  std::vector<double> result(keys);
  for (int i = 0; i < draws; ++i)
    result.at(chooser.next(random)) += 1.0 / draws;
  return result;
}

} // namespace

TEST_CASE("uniform keys are all alike") {
  for (auto share : shares({distribution_kind::uniform, 50, 0}, 50))
    CHECK(share == Approx(0.02).margin(0.003));
}

TEST_CASE("zipf keys follow one over rank to the theta") {
  for (auto theta : {0.5, 0.99, 1.0, 2.0}) {
    INFO("theta " << theta);
    constexpr uint64_t keys = 100;
    double sum = 0;
    for (uint64_t rank = 1; rank <= keys; ++rank)
      sum += std::pow(rank, -theta);
    auto found = shares({distribution_kind::zipf, keys, theta}, keys);
    for (uint64_t rank = 1; rank <= keys; ++rank)
      CHECK(found[rank - 1] == Approx(std::pow(rank, -theta) / sum).margin(0.004));
  }
}

TEST_CASE("one key is always chosen, by any law") {
  random_source random{1};
  key_chooser zipf{distribution_kind::zipf, 1, 0.99};
  key_chooser uniform{distribution_kind::uniform, 1, 0.99};
  for (int i = 0; i < 100; ++i) {
    CHECK(zipf.next(random) == 0);
    CHECK(uniform.next(random) == 0);
  }
}

TEST_CASE("the largest key space with the strongest skew stays in range") {
  random_source random{1};
  key_chooser zipf{distribution_kind::zipf, 1'000'000'000, 10};
  key_chooser flat{distribution_kind::zipf, 1'000'000'000, 0.01};
  for (int i = 0; i < 10'000; ++i) {
    CHECK(zipf.next(random) < 1'000'000'000);
    CHECK(flat.next(random) < 1'000'000'000);
  }
}

TEST_CASE("all keys of a run are equally long and distinct") {
  key_names names{"p:", 1001};
  CHECK(names.name(0) == "p:0000");
  CHECK(names.name(1000) == "p:1000");
  CHECK(key_names{"", 10}.name(9) == "9");
}
