#include "actors/dialer.hpp"

#include <cerrno>
#include <cstring>

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <caf/actor_system.hpp>
#include <caf/io/middleman.hpp>

#include "actors/node_options.hpp"
#include "protocol/limits.hpp"

namespace kai {

namespace {

using pointer = looking_dialer_actor::stateful_pointer<dialer_state>;
using look = dialer_state::look;

/// How long new requests may wait for looks that nothing happens in.
constexpr std::chrono::milliseconds poll_time{10};

auto now(pointer self) { return self->home_system().clock().now(); }

std::shared_ptr<const int> closed_at_end(int fd) {
  return {new int{fd}, [](const int* x) {
            ::close(*x);
            delete x;
          }};
}

/// Opens a connection to the first of the addresses left that does not refuse at once. True: there
/// is one.
bool try_next(look& x, caf::actor_clock::time_point until) {
  for (; x.at; x.at = x.at->ai_next) {
    auto fd = ::socket(x.at->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
      x.why = std::strerror(errno);
      continue;
    }
    x.connecting = closed_at_end(fd);
    x.until = until;
    if (::connect(fd, x.at->ai_addr, x.at->ai_addrlen) == 0 || errno == EINPROGRESS)
      return true;
    x.why = std::strerror(errno);
  }
  x.connecting = nullptr;
  return false;
}

void connect(pointer self, const look& x) {
  char host[NI_MAXHOST];
  char port[NI_MAXSERV];
  auto code = ::getnameinfo(x.at->ai_addr, x.at->ai_addrlen, host, sizeof host, port, sizeof port,
                            NI_NUMERICHOST | NI_NUMERICSERV);
  auto promise = x.promise;
  if (code != 0) {
    promise.deliver(failure(errc::peer_down, x.address + ": " + ::gai_strerror(code)));
    return;
  }
  self->request(self->system().middleman().actor_handle(), limits::dial_deadline,
                caf::connect_atom::value, std::string{host},
                static_cast<uint16_t>(std::stoul(port)))
      .then(
          [self, promise, address = x.address](const caf::node_id&, caf::strong_actor_ptr& gateway,
                                               std::set<std::string>& signatures) mutable {
            auto& sys = self->system();
            if (gateway && sys.assignable(signatures, sys.message_types<gateway_actor>()))
              promise.deliver(caf::actor_cast<gateway_actor>(gateway));
            else
              promise.deliver(
                  failure(errc::incompatible, address + ": not the gateway of a kai node"));
          },
          [promise](caf::error& err) mutable { promise.deliver(std::move(err)); });
}

/// True: the look has come to its end. `ready`: the connection that it opens has, well or not.
bool go_on(pointer self, look& x, bool ready) {
  auto code = ETIMEDOUT;
  socklen_t size = sizeof code;
  if (ready)
    ::getsockopt(*x.connecting, SOL_SOCKET, SO_ERROR, &code, &size);
  else if (now(self) < x.until)
    return false;
  if (code == 0) {
    x.connecting = nullptr;
    connect(self, x);
    return true;
  }
  x.why = std::strerror(code);
  x.at = x.at->ai_next;
  if (try_next(x, now(self) + self->state.patience))
    return false;
  x.promise.deliver(failure(errc::peer_down, x.address + ": " + x.why));
  return true;
}

void look_on(pointer self) {
  auto& looks = self->state.looks;
  std::vector<pollfd> waiting;
  for (auto& x : looks)
    waiting.push_back({*x.connecting, POLLOUT, 0});
  auto ready = ::poll(waiting.data(), waiting.size(), static_cast<int>(poll_time.count()));
  size_t i = 0;
  std::erase_if(looks, [&](look& x) {
    auto position = i++;
    return go_on(self, x, ready > 0 && waiting[position].revents != 0);
  });
  if (!looks.empty())
    self->send(self, tick_atom::value);
}

caf::result<gateway_actor> dial(pointer self, const std::string& address) {
  auto& st = self->state;
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
  look x;
  x.address = address;
  x.found.reset(found);
  x.at = found;
  x.why = "no address";
  if (!try_next(x, now(self) + st.patience))
    return failure(errc::peer_down, address + ": " + x.why);
  x.promise = self->make_response_promise<gateway_actor>();
  auto result = x.promise;
  st.looks.push_back(std::move(x));
  if (st.looks.size() == 1)
    self->send(self, tick_atom::value);
  return result;
}

} // namespace

looking_dialer_actor::behavior_type dialer(pointer self, std::chrono::milliseconds patience) {
  self->state.patience = patience;
  return {
      [self](dial_atom, const std::string& address) { return dial(self, address); },
      [self](tick_atom) { look_on(self); },
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

dialer_actor::behavior_type neighbour_dialer(dialer_actor::pointer self,
                                             std::shared_ptr<neighbours> others,
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
