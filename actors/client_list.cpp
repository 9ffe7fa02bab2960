#include "actors/client_list.hpp"

#include <algorithm>
#include <map>

#include <caf/io/network/native_socket.hpp>

#include "actors/connection.hpp"
#include "actors/socket_stream.hpp"

namespace kai {

namespace {

namespace net = caf::io::network;

/// As `tcp:127.0.0.1:11211` or `tcp6:[::1]:11211`.
std::string address_text(const caf::expected<std::string>& host,
                         const caf::expected<uint16_t>& port) {
  if (!host || !port)
    return "unknown";
  auto v6 = host->find(':') != std::string::npos;
  return (v6 ? "tcp6:" : "tcp:") + to_host_port(*host, *port);
}

std::string local_address(net::native_socket fd) {
  return address_text(net::local_addr_of_fd(fd), net::local_port_of_fd(fd));
}

std::string remote_address(net::native_socket fd) {
  return address_text(net::remote_addr_of_fd(fd), net::remote_port_of_fd(fd));
}

/// memcached's name for the state that means the most alike.
const char* state_text(const connection_state& x) {
  if (x.closing)
    return "conn_closing";
  if (x.backlog > 0)
    return "conn_mwrite";
  return x.commands.empty() ? "conn_read" : "conn_parse_cmd";
}

void add(std::string& out, net::native_socket fd, const char* name, std::string_view value) {
  out += fmt::format("STAT {}:{} {}\r\n", fd, name, value);
}

} // namespace

std::string list_clients(io_loop& loop) {
  std::string out;
  if (loop.listener) {
    auto fd = static_cast<net::native_socket>(*loop.listener);
    add(out, fd, "addr", local_address(fd));
    add(out, fd, "state", "conn_listening");
    add(out, fd, "secs_since_last_cmd", "0");
  }
  std::map<net::native_socket, const connection_state*> by_socket;
  for (auto x : loop.clients)
    by_socket.emplace(socket_of(x->handle), x);
  auto now = loop.context().wall_clock();
  for (auto& [fd, x] : by_socket) {
    add(out, fd, "addr", remote_address(fd));
    add(out, fd, "listen_addr", local_address(fd));
    add(out, fd, "state", state_text(*x));
    // The clock may have been set back.
    auto silent = std::max(now, x->heard) - x->heard;
    add(out, fd, "secs_since_last_cmd", std::to_string(silent / 1'000'000));
  }
  return out + "END\r\n";
}

} // namespace kai
