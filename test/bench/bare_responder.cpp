/// The floor that the kernel sets: one thread, epoll, one `recv` and one `send` per batch of
/// commands, and no work in between. Answers every `get` with a value of 1024 bytes and every `set`
/// with STORED, whatever the key. For measurements on loopback only: it trusts its client.

#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>
#include <unordered_map>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

namespace {

constexpr size_t read_bytes = 64 * 1024;
const std::string value(1024, 'v');

struct client {
  std::string in;
  std::string out;
  /// Bytes of a value that are still to come.
  size_t skip = 0;
};

void answer_get(std::string_view key, std::string& out) {
  out.append("VALUE ").append(key).append(" 0 1024\r\n").append(value).append("\r\nEND\r\n");
}

/// Takes whole commands from `x.in`.
void answer(client& x) {
  std::string_view rest{x.in};
  for (;;) {
    auto skipped = std::min(x.skip, rest.size());
    rest.remove_prefix(skipped);
    x.skip -= skipped;
    auto end = x.skip == 0 ? rest.find('\n') : std::string_view::npos;
    if (end == std::string_view::npos)
      break;
    auto line = rest.substr(0, end);
    rest.remove_prefix(end + 1);
    if (line.starts_with("get ")) {
      answer_get(line.substr(4, line.size() - 5), x.out);
    } else if (line.starts_with("set ")) {
      auto last = line.rfind(' ');
      std::from_chars(line.data() + last + 1, line.data() + line.size(), x.skip);
      x.skip += 2;
      x.out.append("STORED\r\n");
    }
  }
  x.in.erase(0, x.in.size() - rest.size());
}

/// False: the client is gone.
bool serve(int fd, client& x) {
  char bytes[read_bytes];
  auto got = ::recv(fd, bytes, sizeof bytes, 0);
  if (got <= 0)
    return false;
  x.in.append(bytes, static_cast<size_t>(got));
  answer(x);
  // Blocking: kai-bench reads what it asked for.
  for (size_t sent = 0; sent < x.out.size();) {
    auto n = ::send(fd, x.out.data() + sent, x.out.size() - sent, MSG_NOSIGNAL);
    if (n <= 0)
      return false;
    sent += static_cast<size_t>(n);
  }
  x.out.clear();
  return true;
}

int listen_on(uint16_t port) {
  auto fd = ::socket(AF_INET, SOCK_STREAM, 0);
  int on = 1;
  ::setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(port);
  if (::bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 ||
      ::listen(fd, 1024) != 0) {
    std::perror("kai-bare-responder: bind");
    std::exit(1);
  }
  return fd;
}

void watch(int loop, int fd) {
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.fd = fd;
  ::epoll_ctl(loop, EPOLL_CTL_ADD, fd, &event);
}

} // namespace

int main(int argc, char** argv) {
  auto port = argc == 2 ? std::atoi(argv[1]) : 0;
  if (port <= 0 || port > 65535) {
    std::fprintf(stderr, "usage: kai-bare-responder PORT\n");
    return 2;
  }
  auto listener = listen_on(static_cast<uint16_t>(port));
  auto loop = ::epoll_create1(0);
  watch(loop, listener);
  std::unordered_map<int, client> clients;
  epoll_event events[64];
  for (;;) {
    auto n = ::epoll_wait(loop, events, 64, -1);
    for (int i = 0; i < n; ++i) {
      auto fd = events[i].data.fd;
      if (fd == listener) {
        auto accepted = ::accept(listener, nullptr, nullptr);
        int on = 1;
        ::setsockopt(accepted, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        clients[accepted];
        watch(loop, accepted);
      } else if (!serve(fd, clients[fd])) {
        clients.erase(fd);
        ::close(fd);
      }
    }
  }
}
