#include <catch2/catch.hpp>

#include <caf/send.hpp>

#include "actors/vnode.hpp"
#include "test/sim/simulation.hpp"
#include "test/support/virtual_time.hpp"

using namespace kai;
using namespace kai::test;
using namespace std::chrono_literals;

namespace {

response_sink::behavior_type keep_response(response_sink::pointer, std::optional<response>* got) {
  return {[=](response_list& xs) { *got = std::move(xs.responses.at(0)); }};
}

/// Five nodes with disks, and one key: who its replicas are, in order, and then the others.
struct world {
  explicit world(uint64_t seed) {
    sim_options options;
    options.seed = seed;
    options.node.storage.engine = engine_kind::leveldb;
    options.node.storage.sync = sync_mode::always;
    cluster = sim_cluster::founded(options);
    auto& view = *cluster->node(0).loop->view;
    partition = partition_of(key_hash(key), view.topo.settings.partitions);
    for (auto x : view.preference(partition))
      order.push_back(cluster->index_of(view.topo.members[x].name));
  }

  response serve(size_t node, std::optional<mutation> change) {
    std::optional<response> got;
    auto sink = cluster->system().spawn(keep_response, &got);
    caf::send_as(sink, cluster->node(node).loop->take_coordinator(),
                 request_list{{request{1, blob::copy_of(key), std::move(change)}}});
    auto in_time = cluster->run_until([&] { return got.has_value(); }, 2s);
    caf::anon_send_exit(sink, caf::exit_reason::user_shutdown);
    cluster->run_idle();
    REQUIRE(in_time);
    return std::move(*got);
  }
  bool set(size_t node, const std::string& value) {
    mutation x;
    x.value = blob::copy_of(value);
    auto got = serve(node, x);
    if (auto why = std::get_if<failed_answer>(&got.what))
      UNSCOPED_INFO(to_string(why->reason)
                    << ": " << why->message << (why->unchanged ? "; unchanged" : ""));
    return std::holds_alternative<outcome>(got.what) &&
           std::get<outcome>(got.what).kind == outcome_kind::stored;
  }
  std::string get(size_t node) {
    auto got = serve(node, std::nullopt);
    if (auto why = std::get_if<failed_answer>(&got.what))
      return to_string(why->reason);
    auto found = latest(std::get<record>(got.what));
    return found ? found->value.str() : "nothing";
  }

  uint64_t hints(size_t node) {
    uint64_t sum = 0;
    for (auto& x : cluster->node(node).vnodes)
      sum += state_of<vnode_state>(x).hints.report().count();
    return sum;
  }
  bool no_hints() {
    uint64_t sum = 0;
    for (size_t i = 0; i < cluster->size(); ++i)
      sum += cluster->is_up(i) ? hints(i) : 0;
    return sum == 0;
  }
  /// What the node's own engine has of the key.
  std::string held(size_t node) {
    auto& vnodes = cluster->node(node).vnodes;
    auto& st = state_of<vnode_state>(vnodes[partition % vnodes.size()]);
    auto x = st.storage->read(partition, area::data, key);
    return x && *x ? latest(**x)->value.str() : "nothing";
  }

  void crash(std::initializer_list<size_t> places) {
    for (auto x : places)
      cluster->crash(order[x]);
    cluster->run_for(200ms);
  }
  void restart(std::initializer_list<size_t> places) {
    for (auto x : places)
      cluster->restart(order[x]);
    settle();
  }
  void settle() {
    REQUIRE(cluster->run_until([&] { return cluster->connected(); }, 20s));
    // Vnodes count what they hold from before.
    cluster->run_for(500ms);
    REQUIRE(cluster->run_until([&] { return no_hints(); }, 20s));
    cluster->run_for(500ms);
  }

  const std::string key = "key";
  std::unique_ptr<sim_cluster> cluster;
  partition_id partition = 0;
  std::vector<size_t> order;
};

} // namespace

TEST_CASE("what stand-ins took reaches two replicas that were cut off when they are back") {
  for (uint64_t seed = 1; seed <= 5; ++seed) {
    INFO("seed " << seed);
    world w{seed};
    for (size_t i : {0, 1})
      for (size_t j = 2; j < 5; ++j)
        w.cluster->cut(w.order[i], w.order[j]);
    w.cluster->run_for(200ms);
    REQUIRE(w.set(w.order[3], "kept"));
    w.cluster->run_for(500ms);
    CHECK(w.held(w.order[2]) == "kept");
    CHECK(w.held(w.order[0]) == "nothing");
    CHECK(w.hints(w.order[3]) == 1);
    CHECK(w.hints(w.order[4]) == 1);
    for (size_t i : {0, 1})
      for (size_t j = 2; j < 5; ++j)
        w.cluster->heal(w.order[i], w.order[j]);
    w.settle();
    for (size_t i = 0; i < 5; ++i) {
      CHECK(w.held(w.order[i]) == (i < 3 ? "kept" : "nothing"));
      CHECK(w.get(i) == "kept");
    }
  }
}

TEST_CASE("with all replicas of a key dead a set is stored, and read when they have returned") {
  for (uint64_t seed = 1; seed <= 5; ++seed) {
    INFO("seed " << seed);
    world w{seed};
    REQUIRE(w.set(w.order[0], "old"));
    w.crash({0, 1, 2});
    REQUIRE(w.set(w.order[4], "new"));
    CHECK(w.get(w.order[3]) == to_string(errc::quorum_failed));
    w.restart({0, 1, 2});
    for (size_t i = 0; i < 5; ++i)
      CHECK(w.get(i) == "new");
  }
}

TEST_CASE("hints outlive a crash of the stand-in") {
  for (uint64_t seed = 1; seed <= 5; ++seed) {
    INFO("seed " << seed);
    world w{seed};
    w.crash({0, 1});
    REQUIRE(w.set(w.order[2], "kept"));
    w.cluster->run_for(500ms);
    w.crash({3, 4});
    for (size_t i : {3, 4})
      w.cluster->restart(w.order[i]);
    w.cluster->run_for(3s);
    for (size_t i : {3, 4})
      CHECK(w.hints(w.order[i]) == 1);
    w.restart({0, 1});
    for (size_t i : {0, 1, 2})
      CHECK(w.held(w.order[i]) == "kept");
  }
}

TEST_CASE("a set that W nodes can not take fails") {
  world w{1};
  w.crash({0, 1, 2, 3});
  CHECK_FALSE(w.set(w.order[4], "v"));
}

TEST_CASE("while any two nodes are up a set is stored, and its value is there in the end") {
  for (uint64_t seed = 1; seed <= 40; ++seed) {
    INFO("seed " << seed);
    world w{seed};
    auto& random = w.cluster->random();
    auto up = [&] {
      std::vector<size_t> result;
      for (size_t i = 0; i < 5; ++i)
        if (w.cluster->is_up(i))
          result.push_back(i);
      return result;
    };
    std::string last;
    for (int i = 0; i < 40; ++i) {
      auto node = random() % 5;
      if (random() % 2) {
        // Nothing changes.
      } else if (!w.cluster->is_up(node)) {
        w.cluster->restart(node);
        REQUIRE(w.cluster->run_until([&] { return w.cluster->connected(); }, 20s));
      } else if (up().size() > 2) {
        w.cluster->crash(node);
        w.cluster->run_for(random() % 2 ? 0ms : 200ms);
      }
      auto live = up();
      last = std::to_string(i);
      auto at = live[random() % live.size()];
      INFO("set " << i << " at n" << at);
      REQUIRE(w.set(at, last));
    }
    for (size_t i = 0; i < 5; ++i)
      if (!w.cluster->is_up(i))
        w.cluster->restart(i);
    w.settle();
    for (size_t i = 0; i < 5; ++i)
      CHECK(w.get(i) == last);
  }
}
