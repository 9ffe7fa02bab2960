#include "apps/admin_client.hpp"

#include <algorithm>
#include <chrono>
#include <thread>

#include <caf/actor_system.hpp>
#include <caf/atom.hpp>
#include <caf/io/middleman.hpp>
#include <caf/scoped_actor.hpp>
#include <caf/typed_actor.hpp>

#include "apps/system_config.hpp"
#include "protocol/errc.hpp"

namespace kai {

namespace {

using namespace std::chrono_literals;
using clock_type = std::chrono::steady_clock;
using admin_atom = caf::atom_constant<caf::atom("admin")>;
using admin_gateway = caf::typed_actor<
    caf::replies_to<admin_atom, std::string, std::vector<std::string>>::with<std::string>>;

} // namespace

class admin_client::impl {
public:
  explicit impl(host_port node) : node_(std::move(node)) {}

  caf::expected<std::string> ask(const std::string& command,
                                 const std::vector<std::string>& arguments, caf::timespan timeout) {
    auto deadline = clock_type::now() + timeout;
    if (auto err = connect(deadline))
      return err;
    caf::expected<std::string> result = failure(errc::timed_out, "no answer");
    auto left = std::max<caf::timespan>(deadline - clock_type::now(), 1ms);
    self_
        ->request(caf::actor_cast<admin_gateway>(gateway_), left, admin_atom::value, command,
                  arguments)
        .receive([&](std::string& text) { result = std::move(text); },
                 [&](caf::error& err) { result = translate(err); });
    return result;
  }

  void turn_to(host_port node) {
    node_ = std::move(node);
    gateway_ = nullptr;
  }

private:
  std::string where() const { return to_host_port(node_.host, node_.port); }

  caf::error connect(clock_type::time_point deadline) {
    while (!gateway_) {
      auto found = system_.middleman().remote_actor<admin_gateway>(node_.host, node_.port);
      if (found) {
        gateway_ = caf::actor_cast<caf::strong_actor_ptr>(*found);
      } else if (found.error() == caf::sec::cannot_connect_to_node) {
        return failure(errc::peer_down, "cannot reach " + where() +
                                            ": nothing answers there; --node=HOST:PORT names "
                                            "another member");
      } else if (found.error() == caf::sec::unexpected_actor_messaging_interface ||
                 found.error() == caf::sec::incompatible_application_ids) {
        return failure(errc::incompatible, where() + " is no node of kai, or of another version");
      } else if (clock_type::now() >= deadline) {
        return failure(errc::peer_down, where() + " takes connections, but does not answer");
      } else {
        // CAF takes a handshake that is under way at a heartbeat for a dead one: a busy node's is.
        std::this_thread::sleep_for(50ms);
      }
    }
    return caf::none;
  }

  caf::error translate(const caf::error& err) {
    if (err.category() == caf::atom("kai"))
      return err;
    // A proxy does not come back: the next question connects anew.
    gateway_ = nullptr;
    if (err == caf::sec::request_timeout)
      return failure(errc::timed_out, where() + " did not answer in time");
    return failure(errc::peer_down,
                   "the connection to " + where() + " broke: " + system_.render(err));
  }

  host_port node_;
  system_config config_;
  caf::actor_system system_{config_};
  caf::scoped_actor self_{system_};
  caf::strong_actor_ptr gateway_;
};

admin_client::admin_client(host_port node) : impl_(std::make_unique<impl>(std::move(node))) {}

admin_client::~admin_client() = default;

caf::expected<std::string> admin_client::ask(const std::string& command,
                                             const std::vector<std::string>& arguments,
                                             caf::timespan timeout) {
  return impl_->ask(command, arguments, timeout);
}

void admin_client::turn_to(host_port node) { impl_->turn_to(std::move(node)); }

} // namespace kai
