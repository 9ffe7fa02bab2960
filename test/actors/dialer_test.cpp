#include "actors/dialer.hpp"

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <catch2/catch.hpp>

#include <caf/event_based_actor.hpp>
#include <caf/io/middleman.hpp>
#include <caf/scoped_actor.hpp>

#include "actors/node_core.hpp"
#include "protocol/errc.hpp"
#include "protocol/limits.hpp"
#include "test/support/virtual_time.hpp"

using namespace kai;

namespace {

/// A neighbour_dialer, and what it has behind it.
struct dialer_world : virtual_time {
  dialer_world() {
    auto network = fake<dialer_actor>([this](caf::event_based_actor*) -> caf::behavior {
      return {[this](dial_atom, const std::string& address) -> caf::result<gateway_actor> {
        asked_network.push_back(address);
        return far;
      }};
    });
    near = make_gateway();
    far = make_gateway();
    dialer = own(sys.spawn(neighbour_dialer, others, network));
  }

  gateway_actor make_gateway() {
    return fake<gateway_actor>(
        [](caf::event_based_actor*) -> caf::behavior { return {[](call_batch&) {}}; });
  }

  gateway_actor dial(const std::string& address) {
    gateway_actor result;
    self->send(dialer, dial_atom::value, address);
    run();
    self->receive([&](const gateway_actor& x) { result = x; });
    return result;
  }

  std::shared_ptr<neighbours> others = std::make_shared<neighbours>();
  gateway_actor near;
  gateway_actor far;
  dialer_actor dialer;
  std::vector<std::string> asked_network;
};

/// Actors that talk over real sockets, in real time.
struct real_system {
  struct config : caf::actor_system_config {
    config() {
      load<caf::io::middleman>();
      set("middleman.workers", uint64_t{0});
      set("middleman.enable-automatic-connections", false);
      add_messages(*this);
    }
  };
  config cfg;
  caf::actor_system system{cfg};
};

/// An address that takes no notice of who connects: a listener that never accepts, with no room
/// left for more.
struct silent_address {
  silent_address() : listener(::socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    REQUIRE(::bind(listener, reinterpret_cast<sockaddr*>(&address), size) == 0);
    REQUIRE(::listen(listener, 0) == 0);
    REQUIRE(::getsockname(listener, reinterpret_cast<sockaddr*>(&address), &size) == 0);
    name = "127.0.0.1:" + std::to_string(ntohs(address.sin_port));
    for (auto& fd : fill) {
      fd = ::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
      ::connect(fd, reinterpret_cast<sockaddr*>(&address), size);
    }
  }
  ~silent_address() {
    ::close(listener);
    for (auto fd : fill)
      ::close(fd);
  }
  silent_address(const silent_address&) = delete;
  silent_address& operator=(const silent_address&) = delete;

  int listener;
  int fill[4];
  std::string name;
};

gateway_actor::behavior_type answering(gateway_actor::pointer, const std::string& suffix) {
  return {
      [](hello_atom, const hello& x) { return x; },
      [](call_batch&) {},
      [suffix](admin_atom, const std::string& command, const std::vector<std::string>&) {
        return command + suffix;
      },
  };
}

} // namespace

TEST_CASE("many addresses that swallow packets keep nobody from one that answers") {
  real_system here;
  real_system there;
  auto gateway = there.system.spawn(answering, std::string{"!"});
  auto port = there.system.middleman().publish(gateway, 0, "127.0.0.1", true);
  REQUIRE(port);
  auto live = "127.0.0.1:" + std::to_string(*port);
  caf::scoped_actor self{here.system};
  auto dialer = here.system.spawn<caf::detached>(kai::dialer,
                                                 std::chrono::milliseconds{limits::probe_connect});
  {
    std::vector<silent_address> silent(16);
    for (int round = 0; round < 3; ++round) {
      std::vector<std::function<void()>> outcomes;
      for (auto& x : silent) {
        auto asked = self->request(dialer, limits::dial_deadline, dial_atom::value, x.name);
        outcomes.push_back([asked]() mutable {
          asked.receive([](const gateway_actor&) { FAIL("nobody is there"); },
                        [](const caf::error& x) {
                          INFO(message_of(x));
                          CHECK(x == errc::peer_down);
                        });
        });
      }
      gateway_actor found;
      self->request(dialer, limits::dial_deadline, dial_atom::value, live)
          .receive([&](const gateway_actor& x) { found = x; },
                   [](const caf::error& x) { FAIL(message_of(x)); });
      CHECK(found);
      for (auto& x : outcomes)
        x();
    }
  }
  self->send_exit(dialer, caf::exit_reason::user_shutdown);
  caf::anon_send_exit(gateway, caf::exit_reason::user_shutdown);
}

TEST_CASE("an address that refuses, or is none, is said to") {
  real_system here;
  caf::scoped_actor self{here.system};
  auto dialer = here.system.spawn<caf::detached>(kai::dialer, std::chrono::milliseconds{300});
  std::string free;
  {
    silent_address x;
    free = x.name;
  }
  for (auto& [address, why] : std::vector<std::pair<std::string, std::string>>{
           {free, "Connection refused"}, {"nonsense", "HOST:PORT"}})
    self->request(dialer, limits::dial_deadline, dial_atom::value, address)
        .receive([](const gateway_actor&) { FAIL("nobody is there"); },
                 [&, why = why](const caf::error& x) {
                   CHECK_THAT(message_of(x), Catch::Contains(why));
                 });
  self->send_exit(dialer, caf::exit_reason::user_shutdown);
}

TEST_CASE("peers get a neighbour's gateway itself, and others over the network") {
  dialer_world x;
  x.others->add("here:1", x.near);
  CHECK(x.dial("here:1") == x.near);
  CHECK(x.asked_network.empty());
  CHECK(x.dial("there:1") == x.far);
  CHECK(x.asked_network == std::vector<std::string>{"there:1"});
}

TEST_CASE("a neighbour that has ended is looked for in the network") {
  dialer_world x;
  x.others->add("here:1", x.near);
  x.others->remove("here:1");
  CHECK(x.dial("here:1") == x.far);
  x.others->add("here:1", x.near);
  CHECK(x.dial("here:1") == x.near);
}
