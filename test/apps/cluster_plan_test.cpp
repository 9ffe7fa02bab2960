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

caf::expected<node_plan> host(const std::vector<std::string>& arguments) {
  auto asked = read_invocation({"kai-node", ""}, arguments);
  REQUIRE(asked);
  return plan_host(*asked);
}

} // namespace

TEST_CASE("the nodes of a cluster in one process count their ports and directories up") {
  auto x = plan({"--nodes=3", "-p", "100", "-c", "200", "--admin.port=300"});
  REQUIRE(x);
  REQUIRE(x->nodes.size() == 3);
  CHECK(x->ready_line == "kai-cluster ready nodes=3");
  CHECK(x->join_earlier);
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

TEST_CASE("a node of one loop is planned as it was asked for") {
  auto x = host({"--node.loops=1", "--node.name=n", "-p", "100", "-d", "/d"});
  REQUIRE(x);
  CHECK(x->host.empty());
  CHECK_FALSE(x->join_earlier);
  CHECK(x->caf.empty());
  REQUIRE(x->nodes.size() == 1);
  CHECK(x->nodes[0].node.name == "n");
  CHECK(x->nodes[0].node.zone.empty());
  CHECK(x->nodes[0].storage.directory == "/d");
}

TEST_CASE("the loops of a host share its zone, its port for clients and its memory") {
  auto x = host({"--node.loops=3", "--node.name=n", "-p", "100", "-c", "200", "-d", "/d", "-j",
                 "b:1", "--admin.port=300", "--storage.memory-limit=3m"});
  REQUIRE(x);
  CHECK(x->host == "n");
  CHECK(x->join_earlier);
  CHECK(x->ready_line.empty());
  REQUIRE(x->nodes.size() == 3);
  for (size_t i = 0; i < 3; ++i) {
    auto number = std::to_string(i + 1);
    CHECK(x->nodes[i].node.name == "n." + number);
    CHECK(x->nodes[i].node.zone == "n");
    CHECK(x->nodes[i].memcache.port == 100);
    CHECK(x->nodes[i].cluster.port == 200 + i);
    CHECK(x->nodes[i].cluster.seeds == std::vector<std::string>{"b:1"});
    CHECK(x->nodes[i].storage.directory == "/d/loop-" + number);
    CHECK(x->nodes[i].storage.memory_limit == 1024 * 1024);
    CHECK(x->nodes[i].admin.port.has_value() == (i == 0));
  }
  CHECK(caf::get_or(system_config{x->caf}, "scheduler.max-threads", uint64_t{0}) == 1);
}

TEST_CASE("loops keep a zone that was given, and a memory limit that none was given") {
  auto x = host({"--node.loops=2", "--node.name=n", "--node.zone=rack"});
  REQUIRE(x);
  CHECK(x->nodes[1].node.zone == "rack");
  CHECK(x->nodes[1].storage.memory_limit == 0);
  x = host({"--node.loops=2", "--node.name=n", "--storage.memory-limit=1"});
  REQUIRE(x);
  CHECK(x->nodes[1].storage.memory_limit == 1);
}

TEST_CASE("the loops of a host without a name are named after its first cluster port") {
  auto x = host({"--node.loops=2", "-c", "200"});
  REQUIRE(x);
  CHECK(x->host == "127.0.0.1:200");
  CHECK(x->nodes[0].node.name == "127.0.0.1:200.1");
  CHECK(x->nodes[1].node.name == "127.0.0.1:200.2");
  CHECK(x->nodes[1].node.zone == "127.0.0.1:200");
}

TEST_CASE("loops that can not all have a name or a port are refused") {
  auto refused = [](const std::vector<std::string>& arguments) {
    auto x = host(arguments);
    REQUIRE_FALSE(x);
    CHECK(x.error() == errc::bad_configuration);
    return message_of(x.error());
  };
  CHECK_THAT(refused({"--node.loops=2", "-c", "0"}), Catch::StartsWith("node.name: "));
  CHECK_THAT(refused({"--node.loops=2", "-c", "65535"}), Catch::StartsWith("cluster.port: "));
  CHECK_THAT(refused({"--node.loops=2", "--node.name=" + std::string(127, 'n')}),
             Catch::StartsWith("node.name: "));
  CHECK(host({"--node.loops=2", "-c", "65534"}));
  CHECK(host({"--node.loops=2", "--node.name=" + std::string(126, 'n')}));
}

TEST_CASE("kai-cluster has one loop for each of its nodes") {
  auto x = plan({"--nodes=2", "--node.loops=2"});
  REQUIRE_FALSE(x);
  CHECK(x.error() == errc::bad_configuration);
  CHECK_THAT(message_of(x.error()), Catch::StartsWith("node.loops: "));
}
