#include "apps/bench/address.hpp"

#include <cerrno>
#include <cstring>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <unistd.h>

#include "protocol/errc.hpp"

namespace kai::bench {

caf::expected<std::vector<server_address>> resolve(const server_name& server) {
  addrinfo hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  auto code = getaddrinfo(server.host.c_str(), std::to_string(server.port).c_str(), &hints, &found);
  if (code != 0)
    return failure(errc::bad_configuration,
                   "--servers: " + to_string(server) + ": " + gai_strerror(code));
  std::vector<server_address> result;
  for (auto* x = found; x != nullptr; x = x->ai_next) {
    auto& address = result.emplace_back();
    std::memcpy(&address.bytes, x->ai_addr, x->ai_addrlen);
    address.length = x->ai_addrlen;
    address.name = to_string(server);
  }
  freeaddrinfo(found);
  return result;
}

caf::error probe(const server_address& server, std::chrono::nanoseconds timeout) {
  auto refuse = [&](int code) {
    return failure(errc::peer_down, server.name + ": " + std::strerror(code));
  };
  auto fd = start_connect(server);
  if (fd < 0)
    return refuse(errno);
  pollfd waiting{fd, POLLOUT, 0};
  auto milliseconds = std::chrono::duration_cast<std::chrono::milliseconds>(timeout).count();
  auto ready = poll(&waiting, 1, static_cast<int>(milliseconds + 1));
  auto code = ready == 1 ? connect_outcome(fd) : ETIMEDOUT;
  close(fd);
  return code == 0 ? caf::error{} : refuse(code);
}

int start_connect(const server_address& server) {
  auto fd = socket(server.bytes.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0)
    return -1;
  int on = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  if (connect(fd, reinterpret_cast<const sockaddr*>(&server.bytes), server.length) == 0 ||
      errno == EINPROGRESS)
    return fd;
  auto code = errno;
  close(fd);
  errno = code;
  return -1;
}

int connect_outcome(int fd) {
  int code = 0;
  socklen_t length = sizeof code;
  if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &code, &length) != 0)
    return errno;
  return code;
}

} // namespace kai::bench
