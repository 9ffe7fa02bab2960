#include "actors/client_list.hpp"

#include <algorithm>
#include <map>

#include <caf/io/network/native_socket.hpp>

#include "actors/connection.hpp"

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

std::string local_address(int64_t id) {
  auto fd = static_cast<net::native_socket>(id);
  return address_text(net::local_addr_of_fd(fd), net::local_port_of_fd(fd));
}

std::string remote_address(int64_t id) {
  auto fd = static_cast<net::native_socket>(id);
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

void add(std::string& out, int64_t id, const char* name, std::string_view value) {
  out += fmt::format("STAT {}:{} {}\r\n", id, name, value);
}

} // namespace

std::string list_clients(io_loop& loop) {
  std::string out;
  if (auto id = loop.listener) {
    add(out, *id, "addr", local_address(*id));
    add(out, *id, "state", "conn_listening");
    add(out, *id, "secs_since_last_cmd", "0");
  }
  std::map<int64_t, const connection_state*> by_id;
  for (auto x : loop.clients)
    by_id.emplace(x->handle.id(), x);
  auto now = loop.context().wall_clock();
  for (auto& [id, x] : by_id) {
    add(out, id, "addr", remote_address(id));
    add(out, id, "listen_addr", local_address(id));
    add(out, id, "state", state_text(*x));
    // The clock may have been set back.
    auto silent = std::max(now, x->heard) - x->heard;
    add(out, id, "secs_since_last_cmd", std::to_string(silent / 1'000'000));
  }
  return out + "END\r\n";
}

} // namespace kai
