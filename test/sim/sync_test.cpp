#include <catch2/catch.hpp>

#include <caf/send.hpp>

#include "actors/vnode.hpp"
#include "test/sim/simulation.hpp"
#include "test/support/virtual_time.hpp"

using namespace kai;
using namespace kai::test;
using namespace std::chrono_literals;

namespace {

uint64_t tombstones(sim_cluster& cluster) {
  uint64_t sum = 0;
  for (size_t i = 0; i < cluster.size(); ++i)
    for (auto& x : cluster.node(i).vnodes)
      sum += state_of<vnode_state>(x).storage->stats().tombstones;
  return sum;
}

response_sink::behavior_type count_outcomes(response_sink::pointer, size_t* got,
                                            outcome_kind wanted) {
  return {[=](response_list& xs) {
    for (auto& x : xs.responses) {
      auto y = std::get_if<outcome>(&x.what);
      *got += y && y->kind == wanted;
    }
  }};
}

/// Sends the same change of `count` keys through a node; how many of them were answered so.
size_t change_all(sim_cluster& cluster, size_t node, size_t count, const mutation& change,
                  outcome_kind wanted) {
  size_t got = 0;
  auto sink = cluster.system().spawn(count_outcomes, &got, wanted);
  for (size_t i = 0; i < count; i += 50) {
    request_list list;
    for (auto j = i; j < std::min(count, i + 50); ++j)
      list.requests.push_back({j, blob::copy_of("key" + std::to_string(j)), change});
    caf::send_as(sink, cluster.node(node).loop->take_coordinator(), std::move(list));
    cluster.run_until([&] { return got >= std::min(count, i + 50); }, 2s);
  }
  caf::anon_send_exit(sink, caf::exit_reason::user_shutdown);
  cluster.run_idle();
  return got;
}

} // namespace

TEST_CASE("a cache drops its delete marks after the grace, and not before") {
  sim_options options;
  options.nodes = 3;
  options.node.storage.memory_limit = 16 * 1024 * 1024;
  options.node.storage.evict = eviction::lru;
  options.node.storage.grace = 10s;
  auto cluster = sim_cluster::founded(options);
  mutation change;
  change.value = blob::copy_of("value");
  REQUIRE(change_all(*cluster, 0, 1000, change, outcome_kind::stored) == 1000);
  change.kind = mutation_kind::remove;
  REQUIRE(change_all(*cluster, 1, 1000, change, outcome_kind::deleted) == 1000);
  cluster->run_for(5s);
  CHECK(tombstones(*cluster) == 3000);
  CHECK(cluster->run_until([&] { return tombstones(*cluster) == 0; }, 30s));
}

TEST_CASE("values that are long on their way get to a node that joins") {
  sim_options options;
  options.nodes = 3;
  options.founders = 2;
  auto cluster = sim_cluster::founded(options);
  constexpr size_t count = 20;
  mutation change;
  change.value = blob::copy_of(std::string(500'000, 'v'));
  REQUIRE(change_all(*cluster, 0, count, change, outcome_kind::stored) == count);
  // Longer than a client would wait, and all of them together than a connection may be silent.
  for (size_t i : {0, 1})
    cluster->network().narrow(i, 2, 1'000'000);
  cluster->restart(2);
  auto filled = [&] {
    auto& topo = cluster->node(0).loop->view->topo;
    return topo.members.size() == 3 && at_rest(topo);
  };
  REQUIRE(cluster->run_until(filled, 60s));
  std::vector<std::string> keys;
  for (size_t i = 0; i < count; ++i)
    keys.push_back("key" + std::to_string(i));
  CHECK(compare_replicas(*cluster, keys).empty());
}
