#include "actors/dialer.hpp"

#include <catch2/catch.hpp>

#include <caf/event_based_actor.hpp>

#include "protocol/errc.hpp"
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

} // namespace

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
