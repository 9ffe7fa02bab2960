#include "actors/shared_port.hpp"

#include <thread>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <catch2/catch.hpp>

using kai::client_seats;
using kai::port_of;
using kai::share_port;

namespace {

struct shared {
  explicit shared(size_t nodes, uint16_t port = 0, const std::string& address = "127.0.0.1")
      : shares(share_port(address, port, nodes, 2)) {}
  ~shared() {
    if (shares)
      for (auto& x : *shares)
        ::close(x.socket);
  }
  uint16_t port() const { return port_of(shares->front().socket); }

  caf::expected<std::vector<kai::port_share>> shares;
};

/// A socket that connects at once or is no good.
int connect_to(uint16_t port) {
  auto fd = ::socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  REQUIRE(::connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
  return fd;
}

} // namespace

TEST_CASE("the kernel spreads connections over the sockets of a shared port") {
  shared x{3};
  REQUIRE(x.shares);
  REQUIRE(x.shares->size() == 3);
  std::vector<int> clients;
  for (int i = 0; i < 90; ++i)
    clients.push_back(connect_to(x.port()));
  size_t all = 0;
  for (auto& share : *x.shares) {
    CHECK(port_of(share.socket) == x.port());
    size_t mine = 0;
    pollfd readable{share.socket, POLLIN, 0};
    while (::poll(&readable, 1, 0) == 1) {
      ::close(::accept(share.socket, nullptr, nullptr));
      ++mine;
    }
    // Less than once in 10^9 runs would one of three see fewer.
    CHECK(mine > 5);
    all += mine;
  }
  CHECK(all == clients.size());
  for (auto fd : clients)
    ::close(fd);
}

TEST_CASE("a port that is shared is refused to others, whether they would share or not") {
  shared x{2};
  REQUIRE(x.shares);
  CHECK_FALSE(shared{2, x.port()}.shares);
  CHECK_FALSE(shared{1, x.port()}.shares);
}

TEST_CASE("a port where somebody listens is not shared") {
  auto fd = ::socket(AF_INET, SOCK_STREAM, 0);
  int sharing = GENERATE(0, 1);
  REQUIRE(::setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &sharing, sizeof sharing) == 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  REQUIRE(::bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
  REQUIRE(::listen(fd, 1) == 0);
  CHECK_FALSE(shared{2, port_of(fd)}.shares);
  ::close(fd);
}

TEST_CASE("a port that was shared can be shared again at once") {
  uint16_t port = 0;
  std::vector<int> clients;
  {
    shared x{2};
    REQUIRE(x.shares);
    port = x.port();
    for (int i = 0; i < 10; ++i)
      clients.push_back(connect_to(port));
  }
  CHECK(shared{2, port}.shares);
  for (auto fd : clients)
    ::close(fd);
}

TEST_CASE("a port can be shared on IPv6 and on all addresses") {
  for (auto address : {"::1", "::", "0.0.0.0"}) {
    shared x{2, 0, address};
    REQUIRE(x.shares);
    CHECK(port_of((*x.shares)[1].socket) == x.port());
    CHECK(x.port() != 0);
  }
  CHECK_FALSE(shared{2, 0, "no.such.host.invalid"}.shares);
}

TEST_CASE("seats are given out up to their number, by any thread") {
  client_seats two{2};
  CHECK(two.take());
  CHECK(two.take());
  CHECK_FALSE(two.take());
  two.give_back(1);
  CHECK(two.take());
  CHECK_FALSE(two.take());

  client_seats many{1000};
  std::atomic<int> taken{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i)
    threads.emplace_back([&] {
      for (int j = 0; j < 400; ++j)
        if (many.take())
          ++taken;
    });
  for (auto& x : threads)
    x.join();
  CHECK(taken == 1000);
}
