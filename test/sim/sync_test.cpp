#include <catch2/catch.hpp>

#include <caf/event_based_actor.hpp>
#include <caf/send.hpp>

#include "actors/sync.hpp"
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
    for (auto& x : cluster.is_up(i) ? cluster.node(i).vnodes : decltype(cluster.node(i).vnodes){})
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

response_sink::behavior_type count_values(response_sink::pointer, context_ptr context, size_t* got,
                                          size_t* found) {
  return {[=](response_list& xs) {
    for (auto& x : xs.responses) {
      ++*got;
      auto value = std::get_if<record>(&x.what);
      *found += value && latest(*value) && over_since(*value, context->flushed()) == 0;
    }
  }};
}

/// Of the keys of change_all, those that a read through the node shows.
size_t values_of(sim_cluster& cluster, size_t node, size_t count) {
  size_t got = 0;
  size_t found = 0;
  auto sink = cluster.system().spawn(count_values, cluster.node(node).context, &got, &found);
  request_list list;
  for (size_t i = 0; i < count; ++i)
    list.requests.push_back({i, blob::copy_of("key" + std::to_string(i)), std::nullopt});
  caf::send_as(sink, cluster.node(node).loop->take_coordinator(), std::move(list));
  REQUIRE(cluster.run_until([&] { return got == count; }, 5s));
  caf::anon_send_exit(sink, caf::exit_reason::user_shutdown);
  cluster.run_idle();
  return found;
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

TEST_CASE(
    "what was deleted stays so when a partition comes back to a node that had not heard of it") {
  sim_options options;
  options.nodes = 5;
  options.founders = 4;
  options.node.storage.grace = 10s;
  auto cluster = sim_cluster::founded(options);
  constexpr size_t count = 100;
  constexpr size_t cut_off = 3;
  constexpr size_t guest = 4;
  mutation change;
  change.value = blob::copy_of("value");
  REQUIRE(change_all(*cluster, 0, count, change, outcome_kind::stored) == count);
  cluster->run_for(15s);
  for (size_t i = 0; i < guest; ++i)
    cluster->cut(i, cut_off);
  cluster->run_for(2s);

  cluster->restart(guest);
  cluster->cut(guest, cut_off);
  auto held_elsewhere = [&] {
    auto& view = *cluster->node(0).loop->view;
    auto who = view.topo.find("n3");
    auto index = static_cast<member_index>(who - view.topo.members.data());
    size_t sum = 0;
    for (uint32_t p = 0; p < view.topo.settings.partitions; ++p)
      sum += !view.owns(index, static_cast<partition_id>(p));
    return sum;
  };
  auto before = held_elsewhere();
  REQUIRE(cluster->run_until([&] { return held_elsewhere() > before; }, 60s));
  cluster->run_for(20s);
  change.kind = mutation_kind::remove;
  REQUIRE(change_all(*cluster, 0, count, change, outcome_kind::deleted) == count);
  cluster->run_for(40s);

  change_order leave;
  leave.what = change_order::kind::leave;
  leave.name = "n4";
  caf::anon_send(cluster->node(0).topology, leave);
  REQUIRE(cluster->run_until([&] { return held_elsewhere() <= before; }, 60s));
  for (size_t i = 0; i <= guest; ++i)
    if (i != cut_off && cluster->is_up(i))
      cluster->heal(i, cut_off);
  auto rested = [&] {
    auto& topo = cluster->node(0).loop->view->topo;
    return topo.members.size() == 4 && at_rest(topo);
  };
  REQUIRE(cluster->run_until(rested, 60s));
  cluster->run_for(5s);
  CHECK(values_of(*cluster, 0, count) == 0);
  CHECK(values_of(*cluster, cut_off, count) == 0);
  // Marks do not stay for ever either.
  cluster->retire(guest);
  CHECK(cluster->run_until([&] { return tombstones(*cluster) == 0; }, 60s));
}

TEST_CASE("a wall clock that is set back by much hides nothing and keeps nothing") {
  sim_options options;
  options.nodes = 3;
  auto cluster = sim_cluster::founded(options);
  cluster->run_for(5s);
  auto all = GENERATE(false, true);
  for (size_t i = all ? 0 : 2; i < 3; ++i)
    cluster->step_clock(i, -15min);
  cluster->run_for(1s);
  constexpr size_t count = 50;
  mutation change;
  change.value = blob::copy_of("value");
  for (size_t through : {0, 2}) {
    REQUIRE(change_all(*cluster, through, count, change, outcome_kind::stored) == count);
    std::optional<bool> done;
    auto ask = [&](caf::event_based_actor* self) {
      self->request(cluster->node(0).topology, 10s, flush_all_atom::value, int64_t{0})
          .then([&](bool) { done = true; }, [&](const caf::error&) { done = false; });
    };
    cluster->system().spawn(ask);
    REQUIRE(cluster->run_until([&] { return done.has_value(); }, 10s));
    REQUIRE(*done);
    for (size_t i = 0; i < 3; ++i)
      CHECK(values_of(*cluster, i, count) == 0);
    REQUIRE(change_all(*cluster, 2, count, change, outcome_kind::stored) == count);
    for (size_t i = 0; i < 3; ++i)
      CHECK(values_of(*cluster, i, count) == count);
  }
}

TEST_CASE("a node that was stopped recovers until its vnodes say so, though they notice later") {
  sim_options options;
  options.nodes = 3;
  options.vnodes = 2;
  options.node.storage.engine = engine_kind::leveldb;
  auto cluster = sim_cluster::founded(options);
  auto& node = cluster->node(0);
  auto& sync = state_of<sync_state>(node.sync);
  auto recovering = [&] { return sync.heard.size() < node.vnodes.size() || !sync.behind.empty(); };
  // As after a stop of the whole process: each finds out when it has something to do.
  constexpr auto stop = 2s;
  sync.last_tick -= stop;
  REQUIRE(cluster->run_until(recovering, 10s));
  for (auto& x : node.vnodes)
    state_of<vnode_state>(x).idle_since -= stop;
  REQUIRE(cluster->run_until([&] { return !recovering(); }, 30s));
  cluster->run_idle();
  for (auto& x : node.vnodes)
    for (auto since : state_of<vnode_state>(x).behind)
      REQUIRE(since == 0);
}
