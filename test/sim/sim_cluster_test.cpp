#include <catch2/catch.hpp>

#include <caf/send.hpp>

#include "test/sim/simulation.hpp"
#include "test/support/linearizability.hpp"

using namespace kai;
using namespace kai::test;
using namespace std::chrono_literals;

namespace {

/// What a client of a whole cluster can count on.
void check_histories(const workload& load) {
  for (auto& [key, history] : load.histories()) {
    auto verdict = check_linearizable(history);
    INFO(key << '\n' << verdict.explanation);
    CHECK(verdict.legal);
    for (auto& x : history) {
      INFO(to_string(x));
      CHECK(x.end == operation::ending::answered);
    }
  }
}

void check_service(sim_cluster& cluster) {
  workload_options options;
  // New keys each time.
  options.prefix = std::to_string(cluster.steps()) + "-";
  workload load{cluster, options};
  REQUIRE(load.run(20));
  REQUIRE(load.read_everywhere());
  cluster.run_for(600ms);
  check_histories(load);
  CHECK(compare_replicas(cluster, load.keys()).empty());
}

/// Whether node `i` takes node `j` for alive.
bool sees(sim_cluster& cluster, size_t i, size_t j) {
  auto& view = *cluster.node(i).loop->view;
  for (size_t k = 0; k < view.topo.members.size(); ++k)
    if (cluster.index_of(view.topo.members[k].name) == j)
      return view.alive[k];
  return false;
}

} // namespace

TEST_CASE("a seed gives the same history each time, and another seed another one") {
  for (auto engine : {engine_kind::memory, engine_kind::leveldb}) {
    simulation_options options;
    options.seed = 11;
    options.engine = engine;
    auto first = simulate(options);
    auto again = simulate(options);
    CHECK(first.problem.empty());
    CHECK(first.trace == again.trace);
    CHECK(first.steps == again.steps);
    options.seed = 12;
    CHECK(simulate(options).trace != first.trace);
  }
}

TEST_CASE("nodes that join one after another serve all keys") {
  for (uint64_t seed : {1, 2, 3}) {
    INFO("seed " << seed);
    sim_options options;
    options.seed = seed;
    auto cluster = sim_cluster::joined(options);
    for (size_t i = 0; i < cluster->size(); ++i) {
      auto& topo = cluster->node(i).loop->view->topo;
      CHECK(topo.members.size() == cluster->size());
      CHECK(topo.epoch == cluster->node(0).loop->view->topo.epoch);
      CHECK(at_rest(topo));
    }
    check_service(*cluster);
  }
}

TEST_CASE("a cut closes the connections at once, and after it is healed the cluster serves again") {
  sim_options options;
  options.seed = 5;
  auto cluster = sim_cluster::founded(options);
  check_service(*cluster);
  cluster->cut(0, 1);
  CHECK(cluster->run_until([&] { return !sees(*cluster, 0, 1) && !sees(*cluster, 1, 0); }, 100ms));
  cluster->run_for(2s);
  CHECK_FALSE(sees(*cluster, 0, 1));
  CHECK(sees(*cluster, 0, 2));
  CHECK(sees(*cluster, 2, 1));
  cluster->heal(0, 1);
  REQUIRE(cluster->run_until([&] { return cluster->connected(); }, 5s));
  check_service(*cluster);
}

TEST_CASE("a node that falls silent is seen as down, and comes back when it speaks again") {
  sim_options options;
  options.seed = 6;
  auto cluster = sim_cluster::founded(options);
  cluster->network().pause(1, 0);
  CHECK(cluster->run_until([&] { return !sees(*cluster, 0, 1); }, 2s));
  CHECK(sees(*cluster, 2, 1));
  cluster->network().resume(1, 0);
  REQUIRE(cluster->run_until([&] { return cluster->connected(); }, 10s));
  check_service(*cluster);
}

TEST_CASE("lost messages break connections, which are made anew") {
  sim_options options;
  options.seed = 7;
  auto cluster = sim_cluster::founded(options);
  cluster->network().lose(0, 1, 2);
  CHECK(cluster->run_until([&] { return !sees(*cluster, 0, 1); }, 5s));
  cluster->network().lose(0, 1, 0);
  REQUIRE(cluster->run_until([&] { return cluster->connected(); }, 10s));
  check_service(*cluster);
}

TEST_CASE("a node that crashes comes back with what its disk has") {
  sim_options options;
  options.seed = 8;
  options.node.storage.engine = engine_kind::leveldb;
  options.node.storage.sync = sync_mode::always;
  auto cluster = sim_cluster::founded(options);
  workload load{*cluster, {}};
  REQUIRE(load.run(20));
  cluster->run_for(600ms);
  auto id = cluster->node(2).context->id;
  cluster->crash(2);
  CHECK_FALSE(cluster->is_up(2));
  CHECK(cluster->run_until([&] { return !sees(*cluster, 0, 2); }, 100ms));
  cluster->restart(2);
  REQUIRE(cluster->run_until([&] { return cluster->connected(); }, 10s));
  CHECK(cluster->node(2).context->id == id);
  CHECK(compare_replicas(*cluster, load.keys()).empty());
  REQUIRE(load.run(20));
  REQUIRE(load.read_everywhere());
  check_histories(load);
}

TEST_CASE("a node in memory that crashes takes its place again in a cluster without data") {
  sim_options options;
  options.seed = 9;
  auto cluster = sim_cluster::founded(options);
  auto id = cluster->node(2).context->id;
  cluster->crash(2);
  cluster->restart(2);
  REQUIRE(cluster->run_until([&] { return cluster->connected(); }, 30s));
  CHECK(cluster->node(2).context->id != id);
  check_service(*cluster);
}

TEST_CASE("differing replicas are found") {
  sim_options options;
  options.seed = 10;
  auto cluster = sim_cluster::founded(options);
  CHECK(compare_replicas(*cluster, {"key"}).empty());
  auto& view = *cluster->node(0).loop->view;
  call x;
  x.key = blob::copy_of("key");
  x.partition = partition_of(key_hash("key"), view.topo.settings.partitions);
  record r;
  overwrite(r, version{{1, 1}, 0, 0, 0, false, blob::copy_of("value"), {}});
  x.what = store_call{r};
  auto replica = cluster->index_of(view.topo.members[view.replica_places(x.partition)[0]].name);
  auto& vnodes = cluster->node(replica).vnodes;
  caf::anon_send(vnodes[x.partition % vnodes.size()], vnode_batch{{x}, nullptr});
  cluster->run_idle();
  CHECK_FALSE(compare_replicas(*cluster, {"key"}).empty());
}
