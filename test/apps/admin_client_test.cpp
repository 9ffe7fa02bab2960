#include "apps/admin_client.hpp"

#include <caf/actor_system.hpp>
#include <caf/io/middleman.hpp>
#include <caf/typed_actor.hpp>
#include <caf/typed_event_based_actor.hpp>
#include <catch2/catch.hpp>

#include "apps/system_config.hpp"
#include "protocol/errc.hpp"

using namespace kai;
using namespace std::chrono_literals;

namespace {

using admin_atom = caf::atom_constant<caf::atom("admin")>;
using admin_gateway = caf::typed_actor<
    caf::replies_to<admin_atom, std::string, std::vector<std::string>>::with<std::string>>;

/// Answers with what it was asked; `refused` with an error of ours, `silence` never.
admin_gateway::behavior_type echo(admin_gateway::pointer self, const std::string& refused) {
  return {[self, refused](admin_atom, const std::string& command,
                          const std::vector<std::string>& arguments) -> caf::result<std::string> {
    if (command == refused)
      return failure(errc::refused, "n1 still answers");
    if (command == "silence")
      return self->make_response_promise<std::string>();
    auto result = command;
    for (auto& x : arguments)
      result += "," + x;
    return result;
  }};
}

class served_gateway {
public:
  served_gateway() : gateway(system.spawn(echo, std::string{"refuse"})) {
    auto port = system.middleman().publish(gateway, 0, "127.0.0.1");
    REQUIRE(port);
    address = {"127.0.0.1", *port};
  }
  ~served_gateway() { caf::anon_send_exit(gateway, caf::exit_reason::user_shutdown); }

  system_config config;
  caf::actor_system system{config};
  admin_gateway gateway;
  host_port address;
};

} // namespace

TEST_CASE("the admin client carries commands to a node, and documents and errors back") {
  served_gateway node;
  admin_client client{node.address};
  auto text = client.ask("locate", {"a b", ""}, 5s);
  REQUIRE(text);
  CHECK(*text == "locate,a b,");
  auto refused = client.ask("refuse", {}, 5s);
  REQUIRE_FALSE(refused);
  CHECK(refused.error() == errc::refused);
  CHECK(message_of(refused.error()) == "n1 still answers");
  auto silent = client.ask("silence", {}, 10ms);
  REQUIRE_FALSE(silent);
  CHECK(silent.error() == errc::timed_out);
  CHECK(client.ask("status", {}, 5s));
}

TEST_CASE("the admin client says that a node can not be reached, and where it was") {
  host_port gone;
  {
    served_gateway node;
    gone = node.address;
  }
  admin_client client{gone};
  auto text = client.ask("status", {}, 5s);
  REQUIRE_FALSE(text);
  CHECK(text.error() == errc::peer_down);
  CHECK_THAT(message_of(text.error()),
             Catch::StartsWith("cannot reach 127.0.0.1:" + std::to_string(gone.port)) &&
                 Catch::EndsWith("--node=HOST:PORT names another member"));
}
