#include "apps/cluster_plan.hpp"

#include <catch2/catch.hpp>

#include "protocol/errc.hpp"

using namespace kai;

namespace {

caf::expected<node_plan> plan(const std::vector<std::string>& arguments) {
  auto asked = read_invocation({"kai-cluster", "", true}, arguments);
  REQUIRE(asked);
  return plan_cluster(*asked, "/some/where");
}

} // namespace

TEST_CASE("the nodes of a cluster in one process count their ports and directories up") {
  auto x = plan({"--nodes=3", "-p", "100", "-c", "200", "--admin.port=300"});
  REQUIRE(x);
  REQUIRE(x->nodes.size() == 3);
  CHECK(x->ready_line == "kai-cluster ready nodes=3");
  CHECK(x->join_first);
  for (size_t i = 0; i < 3; ++i) {
    CHECK(x->nodes[i].memcache.port == 100 + i);
    CHECK(x->nodes[i].cluster.port == 200 + i);
    CHECK(x->nodes[i].admin.port == 300 + i);
    CHECK(x->nodes[i].storage.directory == "/some/where/node" + std::to_string(i + 1));
    CHECK(x->nodes[i].node.name.empty());
  }
}

TEST_CASE("a port of 0 and an admin server that is off stay so for all nodes") {
  auto x = plan({"--nodes=2", "-p", "0", "-c", "0", "--node.name=n"});
  REQUIRE(x);
  CHECK(x->nodes[1].memcache.port == 0);
  CHECK(x->nodes[1].cluster.port == 0);
  CHECK_FALSE(x->nodes[1].admin.port);
  CHECK(x->nodes[0].node.name == "n1");
  CHECK(x->nodes[1].node.name == "n2");
}

TEST_CASE("a cluster that runs out of ports is refused") {
  for (auto name : {"memcache.port", "cluster.port", "admin.port"}) {
    auto option = "--" + std::string{name} + "=";
    CHECK(plan({"--nodes=2", option + "65534"}));
    auto x = plan({"--nodes=2", option + "65535"});
    REQUIRE_FALSE(x);
    CHECK(x.error() == errc::bad_configuration);
    CHECK_THAT(message_of(x.error()), Catch::StartsWith(name));
  }
}

TEST_CASE("what the user says about CAF wins over the fewer threads of many nodes") {
  auto threads = [](const node_plan& x) {
    return caf::get_or(system_config{x.caf}, "scheduler.max-threads", uint64_t{0});
  };
  CHECK(threads(*plan({})) == 1);
  CHECK(threads(*plan({"--scheduler.max-threads=7"})) == 7);
}
