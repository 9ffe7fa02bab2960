#include <atomic>
#include <chrono>
#include <thread>

#include <caf/actor_system.hpp>
#include <caf/event_based_actor.hpp>
#include <caf/io/middleman.hpp>
#include <caf/scoped_actor.hpp>
#include <catch2/catch.hpp>

#include "actors/node_options.hpp"
#include "apps/system_config.hpp"
#include "protocol/errc.hpp"
#include "test/support/real_cluster.hpp"

using namespace kai;
using namespace std::chrono_literals;

namespace {

/// A node of another version, as far as nodes of this one get to see it.
struct other_version {
  explicit other_version(const std::string& address) : system(config) {
    auto words = [this](const hello& x) {
      ++hellos;
      auto mine = x;
      mine.name = "n2";
      mine.protocol = protocol_version + 1;
      return mine;
    };
    auto run = [words](caf::event_based_actor*, other_version* here) -> caf::behavior {
      return {[words](hello_atom, const hello& x) { return words(x); },
              [here](const call_batch&) { ++here->batches; },
              [](admin_atom, const std::string&, const std::vector<std::string>&) {
                return std::string{};
              }};
    };
    auto gateway = system.spawn(run, this);
    auto at = parse_host_port(address);
    REQUIRE(at);
    auto published = system.middleman().publish(caf::actor_cast<gateway_actor>(gateway), at->port,
                                                at->host.c_str(), true);
    REQUIRE(published);
    actor = gateway;
  }
  ~other_version() { caf::anon_send_exit(actor, caf::exit_reason::kill); }

  system_config config;
  caf::actor_system system;
  caf::actor actor;
  std::atomic<int> hellos{0};
  std::atomic<int> batches{0};
};

} // namespace

TEST_CASE("mixed versions: a node of another protocol version is refused, and the rest serves") {
  real_cluster cluster{3};
  memcache_client client{cluster.endpoints(0).memcache};
  auto address = cluster.endpoints(2).cluster;
  cluster.stop(2);
  other_version newer{address};
  auto deadline = std::chrono::steady_clock::now() + 20s;
  while (newer.hellos < 4 && std::chrono::steady_clock::now() < deadline)
    std::this_thread::sleep_for(10ms);
  CHECK(newer.hellos >= 4);
  for (int i = 0; i < 50; ++i) {
    auto key = "key" + std::to_string(i);
    CHECK(client.set(key, "v") == "STORED");
    CHECK(client.get(key) == "VALUE " + key + " 0 1|v|END");
  }
  // Not one call reached it, not even a probe.
  CHECK(newer.batches == 0);

  // And the other way round: it is told so when it comes by itself.
  auto remote = [&] {
    auto at = parse_host_port(cluster.endpoints(0).cluster);
    return newer.system.middleman().remote_actor<gateway_actor>(at->host, at->port);
  }();
  REQUIRE(remote);
  hello words;
  words.protocol = protocol_version + 1;
  words.name = "n2";
  auto ours = std::to_string(protocol_version);
  auto theirs = std::to_string(protocol_version + 1);
  caf::scoped_actor self{newer.system};
  self->request(*remote, 5s, hello_atom::value, words)
      .receive([](const hello&) { FAIL("it was taken"); },
               [&](const caf::error& err) {
                 CHECK(err == errc::incompatible);
                 CHECK_THAT(message_of(err), Catch::Contains("n0 speaks version " + ours) &&
                                                 Catch::Contains("n2 version " + theirs));
               });
}
