#include "protocol/min_cost_flow.hpp"

#include <algorithm>
#include <random>
#include <vector>

#include <catch2/catch.hpp>

using namespace kai;

namespace {

struct plain_arc {
  uint32_t from;
  uint32_t to;
  int32_t capacity;
  int8_t cost;
  int32_t flow = 0;
};

/// The textbook's slow way: one unit at a time along the cheapest path, found by Bellman-Ford.
std::pair<int64_t, int64_t> naive_flow_and_cost(size_t nodes, std::vector<plain_arc> arcs) {
  int64_t flow = 0;
  int64_t cost = 0;
  while (true) {
    constexpr int64_t unreached = 1'000'000;
    std::vector<int64_t> distance(nodes, unreached);
    std::vector<int> through(nodes, -1);
    distance[0] = 0;
    for (size_t round = 0; round < nodes; ++round)
      for (size_t i = 0; i < arcs.size(); ++i) {
        auto& x = arcs[i];
        if (x.flow < x.capacity && distance[x.from] < unreached &&
            distance[x.from] + x.cost < distance[x.to]) {
          distance[x.to] = distance[x.from] + x.cost;
          through[x.to] = static_cast<int>(2 * i);
        }
        if (x.flow > 0 && distance[x.to] < unreached &&
            distance[x.to] - x.cost < distance[x.from]) {
          distance[x.from] = distance[x.to] - x.cost;
          through[x.from] = static_cast<int>(2 * i + 1);
        }
      }
    if (distance[1] >= unreached)
      return {flow, cost};
    for (uint32_t at = 1; at != 0;) {
      auto& x = arcs[static_cast<size_t>(through[at]) / 2];
      auto forward = through[at] % 2 == 0;
      x.flow += forward ? 1 : -1;
      at = forward ? x.from : x.to;
    }
    ++flow;
    cost += distance[1];
  }
}

} // namespace

TEST_CASE("a flow is as large and as cheap as one found unit by unit") {
  for (uint64_t seed = 0; seed < 500; ++seed) {
    INFO("seed " << seed);
    std::mt19937_64 random{seed};
    auto nodes = static_cast<uint32_t>(2 + random() % 9);
    std::vector<plain_arc> arcs;
    min_cost_flow network{nodes};
    for (size_t i = 0; i < 4 * nodes; ++i) {
      plain_arc x{static_cast<uint32_t>(random() % nodes), static_cast<uint32_t>(random() % nodes),
                  static_cast<int32_t>(random() % 4), static_cast<int8_t>(random() % 3)};
      if (x.from == x.to)
        continue;
      arcs.push_back(x);
      network.add_arc(x.from, x.to, x.capacity, x.cost);
    }
    auto total = network.run(0, 1);
    int64_t cost = 0;
    std::vector<int64_t> surplus(nodes, 0);
    for (uint32_t i = 0; i < arcs.size(); ++i) {
      auto sent = network.flow(i);
      REQUIRE(sent >= 0);
      REQUIRE(sent <= arcs[i].capacity);
      cost += sent * arcs[i].cost;
      surplus[arcs[i].from] += sent;
      surplus[arcs[i].to] -= sent;
    }
    REQUIRE(surplus[0] == total);
    REQUIRE(surplus[1] == -total);
    REQUIRE(std::all_of(surplus.begin() + 2, surplus.end(), [](int64_t x) { return x == 0; }));
    auto [naive_total, naive_cost] = naive_flow_and_cost(nodes, arcs);
    REQUIRE(total == naive_total);
    REQUIRE(cost == naive_cost);
  }
}

TEST_CASE("nothing flows where there is no way") {
  min_cost_flow network{4};
  auto a = network.add_arc(0, 2, 5, 0);
  auto b = network.add_arc(3, 1, 5, 0);
  CHECK(network.run(0, 1) == 0);
  CHECK(network.flow(a) == 0);
  CHECK(network.flow(b) == 0);
}
