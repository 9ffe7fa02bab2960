#include "actors/node_options.hpp"

#include <algorithm>
#include <bit>
#include <charconv>

#include <arpa/inet.h>
#include <netinet/in.h>

#include "protocol/errc.hpp"
#include "protocol/limits.hpp"

namespace kai {

namespace {

caf::error bad(std::string_view option, const std::string& message) {
  return failure(errc::bad_configuration, std::string{option} + ": " + message);
}

/// Names stand in the ready line and in tables, between blanks.
bool printable(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return c > ' ' && c < '\x7f'; });
}

/// Characters of IPv4 and IPv6 addresses, scopes and DNS names.
bool host_shaped(std::string_view text) {
  auto good = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == ':' || c == '-' || c == '_' || c == '%';
  };
  return !text.empty() && text.size() <= limits::host_bytes_max &&
         std::all_of(text.begin(), text.end(), good);
}

caf::error check_name(std::string_view option, const std::string& text) {
  if (text.size() > limits::node_name_bytes_max)
    return bad(option, "longer than " + std::to_string(limits::node_name_bytes_max) + " bytes");
  if (!printable(text))
    return bad(option, "only printable ASCII characters without blanks are allowed");
  return caf::none;
}

caf::error check_address(std::string_view option, const std::string& text) {
  if (!host_shaped(text))
    return bad(option, "\"" + text + "\" is no address: write an IPv4 or IPv6 address or a name");
  return caf::none;
}

/// 0.0.0.0 or ::, in any notation.
bool is_wildcard(const std::string& text) {
  in_addr v4{};
  if (inet_aton(text.c_str(), &v4) != 0)
    return v4.s_addr == INADDR_ANY;
  in6_addr v6{};
  return inet_pton(AF_INET6, text.c_str(), &v6) == 1 && IN6_IS_ADDR_UNSPECIFIED(&v6);
}

template <class T>
caf::error check_range(std::string_view option, T x, T low, T high) {
  if (x < low || x > high)
    return bad(option, std::to_string(x) + " is out of range: " + std::to_string(low) + " to " +
                           std::to_string(high));
  return caf::none;
}

caf::error check_quorum(std::string_view option, uint16_t quorum, uint16_t replicas) {
  if (quorum > replicas)
    return bad(option, std::to_string(quorum) + " is more than cluster.replicas, which is " +
                           std::to_string(replicas));
  return caf::none;
}

caf::error check_memcache(const node_options& x) {
  if (auto err = check_address("memcache.address", x.memcache.address))
    return err;
  if (auto err = check_range("memcache.max-connections", x.memcache.max_connections, size_t{1},
                             limits::client_connections_max))
    return err;
  return check_range("memcache.max-item-size", x.memcache.max_item_size, size_t{1},
                     limits::item_bytes_max);
}

caf::error check_cluster(const node_options& x) {
  if (auto err = check_address("cluster.address", x.cluster.address))
    return err;
  if (is_wildcard(x.cluster.address))
    return bad("cluster.address", "\"" + x.cluster.address +
                                      "\" is what other nodes would be told to connect to: write "
                                      "an address of this host that they can reach");
  if (x.cluster.seeds.size() > limits::members_max)
    return bad("cluster.seeds", "more than " + std::to_string(limits::members_max) + " addresses");
  for (auto& seed : x.cluster.seeds)
    if (auto parsed = parse_host_port(seed); !parsed)
      return bad("cluster.seeds", message_of(parsed.error()));
    else if (parsed->port == 0)
      return bad("cluster.seeds", "\"" + seed + "\" has port 0");
  if (auto err = check_range("cluster.replicas", x.cluster.replicas, uint16_t{1},
                             static_cast<uint16_t>(limits::replicas_max)))
    return err;
  if (auto err = check_quorum("cluster.read-quorum", x.cluster.read_quorum, x.cluster.replicas))
    return err;
  if (auto err = check_quorum("cluster.write-quorum", x.cluster.write_quorum, x.cluster.replicas))
    return err;
  if (auto err = check_range("cluster.partitions", x.cluster.partitions, uint32_t{1},
                             static_cast<uint32_t>(limits::partitions_max)))
    return err;
  if (!std::has_single_bit(x.cluster.partitions))
    return bad("cluster.partitions",
               std::to_string(x.cluster.partitions) + " is not a power of two");
  return caf::none;
}

caf::error check_storage(const node_options& x) {
  if (x.storage.directory.empty() && x.storage.engine == engine_kind::leveldb)
    return bad("storage.directory", "the leveldb engine needs one");
  if (x.storage.evict == eviction::lru && x.storage.engine == engine_kind::leveldb)
    return bad("storage.evict", "lru is for the memory engine; leveldb keeps everything");
  if (x.storage.directory.find('\0') != std::string::npos)
    return bad("storage.directory", "contains a zero byte");
  if (x.storage.grace <= caf::timespan{0} || x.storage.grace > limits::grace_max)
    return bad("storage.grace", "out of range: 1ms to 87600h");
  return caf::none;
}

} // namespace

caf::expected<host_port> parse_host_port(std::string_view text) {
  auto wrong = [&](const std::string& why) {
    return failure(errc::bad_configuration, "\"" + std::string{text} + "\" " + why);
  };
  auto colon = text.rfind(':');
  if (colon == std::string_view::npos)
    return wrong("is not HOST:PORT");
  auto host = text.substr(0, colon);
  auto digits = text.substr(colon + 1);
  if (host.starts_with('[') && host.ends_with(']'))
    host = host.substr(1, host.size() - 2);
  else if (host.find(':') != std::string_view::npos)
    return wrong("is not HOST:PORT: an IPv6 address stands in brackets, as [::1]:11011");
  if (!host_shaped(host))
    return wrong("has no usable host: write an address or a name before the colon");
  host_port result{std::string{host}, 0};
  auto [end, code] = std::from_chars(digits.data(), digits.data() + digits.size(), result.port);
  if (digits.empty() || code != std::errc{} || end != digits.data() + digits.size())
    return wrong("has no usable port: 0 to 65535 after the colon");
  return result;
}

std::string to_host_port(std::string_view host, uint16_t port) {
  auto v6 = host.find(':') != std::string_view::npos && !host.starts_with('[');
  return (v6 ? "[" + std::string{host} + "]" : std::string{host}) + ":" + std::to_string(port);
}

uint16_t node_options::read_quorum_or_majority() const {
  return cluster.read_quorum != 0 ? cluster.read_quorum
                                  : static_cast<uint16_t>(cluster.replicas / 2 + 1);
}

uint16_t node_options::write_quorum_or_majority() const {
  return cluster.write_quorum != 0 ? cluster.write_quorum
                                   : static_cast<uint16_t>(cluster.replicas / 2 + 1);
}

caf::error node_options::validate() const {
  if (auto err = check_name("node.name", node.name))
    return err;
  if (auto err = check_name("node.zone", node.zone))
    return err;
  if (auto err = check_memcache(*this))
    return err;
  if (auto err = check_cluster(*this))
    return err;
  if (auto err = check_storage(*this))
    return err;
  return check_address("admin.address", admin.address);
}

} // namespace kai
