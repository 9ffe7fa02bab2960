#include "apps/loop_directories.hpp"

#include <filesystem>
#include <fstream>
#include <optional>
#include <sstream>

#include <caf/io/network/default_multiplexer.hpp>

#include "actors/topology_vote.hpp"
#include "protocol/errc.hpp"
#include "protocol/limits.hpp"
#include "storage/identity_codec.hpp"

namespace kai {

namespace {

namespace fs = std::filesystem;

/// The member whose data is there; nullopt: none's, or one's that has left its cluster.
caf::expected<std::optional<member>> member_in(const std::string& directory) {
  std::error_code ignored;
  auto file = fs::path{directory} / "identity";
  if (!fs::exists(file, ignored))
    return std::optional<member>{};
  std::ifstream in{file};
  std::stringstream text;
  text << in.rdbuf();
  auto identity = identity_from_text(text.str());
  if (!identity)
    return failure(errc::bad_configuration,
                   "storage.directory: " + file.string() + ": " + message_of(identity.error()));
  directory_options options;
  options.path = directory;
  options.node_name = identity->name;
  auto opened = node_directory::open(options);
  if (!opened)
    return std::move(opened.error());
  return member_of(**opened);
}

bool is_free(const std::string& address, uint16_t port) {
  auto socket = caf::io::network::new_tcp_acceptor_impl(port, address.c_str(), true);
  if (socket)
    caf::io::network::close_socket(*socket);
  return static_cast<bool>(socket);
}

} // namespace

std::string loop_directory(const std::string& directory, size_t number) {
  return fs::path{directory} / ("loop-" + std::to_string(number));
}

caf::error check_loop_directories(const process_options& options) {
  if (options.node.storage.engine == engine_kind::memory)
    return caf::none;
  auto& directory = options.node.storage.directory;
  std::string left_out;
  std::string commands;
  size_t loops = 1;
  auto look = [&](const std::string& where, size_t number) {
    auto found = member_in(where);
    if (!found)
      return std::move(found.error());
    if (!*found)
      return caf::error{};
    auto& name = (*found)->name;
    left_out += (left_out.empty() ? "" : ", ") + name;
    commands += (commands.empty() ? "" : "; ") + ("kai-admin leave " + name);
    loops = number;
    return caf::error{};
  };
  if (options.loops > 1)
    if (auto err = look(directory, 1))
      return err;
  for (auto i = options.loops == 1 ? 1 : options.loops + 1; i <= limits::nodes_per_process_max; ++i)
    if (auto err = look(loop_directory(directory, i), i))
      return err;
  if (left_out.empty())
    return caf::none;
  return failure(errc::bad_configuration,
                 "node.loops: storage.directory " + directory + " holds the data of " + left_out +
                     ", which " + std::to_string(options.loops) +
                     (options.loops == 1 ? " loop does" : " loops do") +
                     " not run; start with node.loops=" + std::to_string(loops) +
                     " and let it leave first (" + commands + "), or use another directory");
}

caf::error check_cluster_directory(const process_options& options, uint64_t nodes) {
  if (options.node.storage.engine == engine_kind::memory)
    return caf::none;
  auto& directory = options.node.storage.directory;
  uint64_t last = 0;
  for (uint64_t i = nodes + 1; i <= limits::nodes_per_process_max; ++i) {
    auto found = member_in(fs::path{directory} / ("node" + std::to_string(i)));
    if (!found)
      return std::move(found.error());
    if (*found)
      last = i;
  }
  if (last == 0)
    return caf::none;
  return failure(errc::bad_configuration,
                 "nodes: storage.directory " + directory + " holds the data of " +
                     std::to_string(last) + " nodes; start with --nodes=" + std::to_string(last) +
                     " and let those leave that are too many (`kai-admin leave NAME`, the last "
                     "ones first), or use another directory");
}

caf::error join_who_is_there(std::vector<node_options>& nodes) {
  auto& first = nodes.front();
  if (first.storage.engine == engine_kind::memory || !first.cluster.seeds.empty())
    return caf::none;
  // What is wrong with a directory is said when its node starts.
  if (auto found = member_in(first.storage.directory); !found || *found)
    return caf::none;
  std::string elsewhere;
  for (auto& x : nodes) {
    auto found = member_in(x.storage.directory);
    if (!found || !*found)
      continue;
    elsewhere = x.storage.directory;
    if (x.cluster.port != 0)
      first.cluster.seeds.push_back(to_host_port(x.cluster.address, x.cluster.port));
  }
  if (elsewhere.empty() || !first.cluster.seeds.empty())
    return caf::none;
  return failure(errc::bad_configuration,
                 "storage.directory: " + first.storage.directory + " holds no member's data, and " +
                     elsewhere +
                     " does: the first node would found a second cluster. Put its "
                     "directory back, or set cluster.port, so that it can join the "
                     "others");
}

void keep_ports(std::vector<node_options>& loops) {
  for (auto& x : loops) {
    if (x.cluster.port != 0 || x.storage.engine == engine_kind::memory)
      continue;
    // What is wrong with a directory is said when its node starts.
    auto found = member_in(x.storage.directory);
    if (!found || !*found)
      continue;
    auto before = parse_host_port((*found)->cluster_address);
    if (before && is_free(x.cluster.address, before->port))
      x.cluster.port = before->port;
  }
}

} // namespace kai
