#include "actors/shared_port.hpp"

#include <cerrno>
#include <cstring>

#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <caf/io/network/default_multiplexer.hpp>

#include "protocol/errc.hpp"

namespace kai {

namespace {

caf::error failed(const char* call) {
  return failure(errc::bad_configuration, std::string{call} + ": " + std::strerror(errno));
}

bool set_flag(int socket, int level, int option, int value) {
  return ::setsockopt(socket, level, option, &value, sizeof value) == 0;
}

sockaddr_storage address_of(int socket) {
  sockaddr_storage result{};
  socklen_t size = sizeof result;
  ::getsockname(socket, reinterpret_cast<sockaddr*>(&result), &size);
  return result;
}

/// Another socket that listens where `first` does.
caf::expected<int> listen_beside(int first) {
  auto address = address_of(first);
  auto size = address.ss_family == AF_INET6 ? sizeof(sockaddr_in6) : sizeof(sockaddr_in);
  auto result = ::socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (result < 0)
    return failed("socket");
  auto fail = [result](const char* call) {
    auto err = failed(call);
    ::close(result);
    return err;
  };
  int v6_only = 0;
  socklen_t length = sizeof v6_only;
  auto v6 = address.ss_family == AF_INET6 &&
            ::getsockopt(first, IPPROTO_IPV6, IPV6_V6ONLY, &v6_only, &length) == 0;
  if ((v6 && !set_flag(result, IPPROTO_IPV6, IPV6_V6ONLY, v6_only)) ||
      !set_flag(result, SOL_SOCKET, SO_REUSEADDR, 1) ||
      !set_flag(result, SOL_SOCKET, SO_REUSEPORT, 1))
    return fail("setsockopt");
  if (::bind(result, reinterpret_cast<sockaddr*>(&address), static_cast<socklen_t>(size)) != 0)
    return fail("bind");
  if (::listen(result, SOMAXCONN) != 0)
    return fail("listen");
  return result;
}

} // namespace

bool client_seats::take() {
  auto taken = taken_.load(std::memory_order_relaxed);
  while (taken < max_)
    if (taken_.compare_exchange_weak(taken, taken + 1, std::memory_order_relaxed))
      return true;
  return false;
}

std::optional<bind_obstacle> why_not_bound(const std::string& address, uint16_t port) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV;
  addrinfo* found = nullptr;
  if (auto code = ::getaddrinfo(address.c_str(), std::to_string(port).c_str(), &hints, &found))
    return bind_obstacle{::gai_strerror(code), false};
  std::unique_ptr<addrinfo, void (*)(addrinfo*)> guard{found, ::freeaddrinfo};
  auto socket = ::socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  std::optional<bind_obstacle> result;
  if (socket < 0 || !set_flag(socket, SOL_SOCKET, SO_REUSEADDR, 1) ||
      ::bind(socket, found->ai_addr, found->ai_addrlen) != 0 || ::listen(socket, 1) != 0)
    result = bind_obstacle{std::strerror(errno), errno == EADDRINUSE || errno == EACCES};
  if (socket >= 0)
    ::close(socket);
  return result;
}

uint16_t port_of(int socket) {
  auto address = address_of(socket);
  auto v6 = reinterpret_cast<const sockaddr_in6*>(&address);
  auto v4 = reinterpret_cast<const sockaddr_in*>(&address);
  return ntohs(address.ss_family == AF_INET6 ? v6->sin6_port : v4->sin_port);
}

caf::expected<std::vector<port_share>> share_port(const std::string& address, uint16_t port,
                                                  size_t nodes, size_t max_connections) {
  auto first = caf::io::network::new_tcp_acceptor_impl(port, address.c_str(), true);
  if (!first)
    return std::move(first.error());
  auto seats = std::make_shared<client_seats>(max_connections);
  std::vector<port_share> result{{*first, seats}};
  auto err = set_flag(*first, SOL_SOCKET, SO_REUSEPORT, 1) ? caf::error{} : failed("setsockopt");
  while (!err && result.size() < nodes) {
    if (auto next = listen_beside(*first))
      result.push_back({*next, seats});
    else
      err = std::move(next.error());
  }
  if (!err)
    return result;
  for (auto& x : result)
    ::close(x.socket);
  return err;
}

} // namespace kai
