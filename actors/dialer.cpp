#include "actors/dialer.hpp"

#include <cerrno>
#include <cstring>
#include <memory>

#include <netdb.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <caf/actor_system.hpp>
#include <caf/io/middleman.hpp>

#include "actors/node_options.hpp"
#include "protocol/limits.hpp"

namespace kai {

namespace {

using pointer = dialer_actor::stateful_pointer<dialer_state>;

using address_list = std::unique_ptr<addrinfo, decltype(&freeaddrinfo)>;

/// Whether somebody accepts at `x` within the limit; `why` says why not.
bool accepts(const addrinfo& x, std::chrono::milliseconds patience, std::string& why) {
  auto fd = ::socket(x.ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) {
    why = std::strerror(errno);
    return false;
  }
  auto code = ::connect(fd, x.ai_addr, x.ai_addrlen) == 0 ? 0 : errno;
  if (code == EINPROGRESS) {
    pollfd p{fd, POLLOUT, 0};
    code = ETIMEDOUT;
    if (::poll(&p, 1, static_cast<int>(patience.count())) == 1) {
      socklen_t size = sizeof code;
      ::getsockopt(fd, SOL_SOCKET, SO_ERROR, &code, &size);
    }
  }
  ::close(fd);
  why = std::strerror(code);
  return code == 0;
}

/// The numeric address of HOST:PORT at which somebody accepts.
caf::expected<host_port> find_listener(const std::string& address,
                                       std::chrono::milliseconds patience) {
  auto target = parse_host_port(address);
  if (!target)
    return target.error();
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  auto code =
      ::getaddrinfo(target->host.c_str(), std::to_string(target->port).c_str(), &hints, &found);
  if (code != 0)
    return failure(errc::peer_down, address + ": " + ::gai_strerror(code));
  address_list list{found, &freeaddrinfo};
  std::string why = "no address";
  for (auto* x = list.get(); x; x = x->ai_next) {
    char host[NI_MAXHOST];
    if (accepts(*x, patience, why) && ::getnameinfo(x->ai_addr, x->ai_addrlen, host, sizeof host,
                                                    nullptr, 0, NI_NUMERICHOST) == 0)
      return host_port{host, target->port};
  }
  return failure(errc::peer_down, address + ": " + why);
}

caf::result<gateway_actor> dial(pointer self, const std::string& address,
                                std::chrono::milliseconds patience) {
  auto listener = find_listener(address, patience);
  if (!listener)
    return listener.error();
  auto promise = self->make_response_promise<gateway_actor>();
  self->request(self->system().middleman().actor_handle(), limits::dial_deadline,
                caf::connect_atom::value, listener->host, listener->port)
      .then(
          [self, promise, address](const caf::node_id&, caf::strong_actor_ptr& gateway,
                                   std::set<std::string>& signatures) mutable {
            auto& sys = self->system();
            if (gateway && sys.assignable(signatures, sys.message_types<gateway_actor>()))
              promise.deliver(caf::actor_cast<gateway_actor>(gateway));
            else
              promise.deliver(
                  failure(errc::incompatible, address + ": not the gateway of a kai node"));
          },
          [promise](caf::error& err) mutable { promise.deliver(std::move(err)); });
  return promise;
}

} // namespace

dialer_actor::behavior_type dialer(pointer self, std::chrono::milliseconds patience) {
  return {
      [=](dial_atom, const std::string& address) { return dial(self, address, patience); },
  };
}

void neighbours::add(const std::string& address, gateway_actor gateway) {
  std::lock_guard lock{mutex_};
  gateways_[address] = std::move(gateway);
}

void neighbours::remove(const std::string& address) {
  std::lock_guard lock{mutex_};
  gateways_.erase(address);
}

gateway_actor neighbours::find(const std::string& address) {
  std::lock_guard lock{mutex_};
  auto i = gateways_.find(address);
  return i != gateways_.end() ? i->second : gateway_actor{};
}

dialer_actor::behavior_type neighbour_dialer(pointer self, std::shared_ptr<neighbours> others,
                                             dialer_actor network) {
  return {
      [=](dial_atom, const std::string& address) -> caf::result<gateway_actor> {
        if (auto found = others->find(address))
          return found;
        return self->delegate(network, dial_atom::value, address);
      },
  };
}

} // namespace kai
