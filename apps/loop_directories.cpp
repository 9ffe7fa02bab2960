#include "apps/loop_directories.hpp"

#include <algorithm>
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

/// Members whose data is in places that nobody is started for, and the number of the last.
struct left_out {
  std::vector<std::string> names;
  uint64_t last = 0;
};

/// Looks at `directory_of(number)` for each of the numbers `wanted` and of those above `started`.
template <class DirectoryOf>
caf::expected<left_out> look_beyond(uint64_t started, std::vector<uint64_t> wanted,
                                    DirectoryOf directory_of) {
  left_out result;
  for (auto i = started + 1; i <= limits::nodes_per_process_max; ++i)
    wanted.push_back(i);
  for (auto i : wanted) {
    auto found = member_in(directory_of(i));
    if (!found)
      return std::move(found.error());
    if (!*found)
      continue;
    result.names.push_back((*found)->name);
    result.last = i;
  }
  return result;
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
  // One loop uses the directory itself, several its subdirectories.
  auto one = options.loops == 1;
  auto place = [&](uint64_t number) {
    return number == 0 ? directory : loop_directory(directory, number);
  };
  auto found = one ? look_beyond(0, {}, place) : look_beyond(options.loops, {0}, place);
  if (!found)
    return std::move(found.error());
  if (found->names.empty())
    return caf::none;
  std::string names;
  std::string commands;
  for (auto& name : found->names) {
    names += (names.empty() ? "" : ", ") + name;
    commands += (commands.empty() ? "" : "; ") + ("kai-admin leave " + name);
  }
  return failure(
      errc::bad_configuration,
      "node.loops: storage.directory " + directory + " holds the data of " + names + ", which " +
          std::to_string(options.loops) + (one ? " loop does" : " loops do") +
          " not run; start with node.loops=" + std::to_string(std::max<uint64_t>(found->last, 1)) +
          " and let it leave first (" + commands + "), or use another directory");
}

caf::error check_cluster_directory(const process_options& options, uint64_t nodes) {
  if (options.node.storage.engine == engine_kind::memory)
    return caf::none;
  auto& directory = options.node.storage.directory;
  auto found = look_beyond(nodes, {}, [&](uint64_t number) {
    return fs::path{directory} / ("node" + std::to_string(number));
  });
  if (!found)
    return std::move(found.error());
  if (found->names.empty())
    return caf::none;
  auto last = std::to_string(found->last);
  return failure(errc::bad_configuration,
                 "nodes: storage.directory " + directory + " holds the data of " + last +
                     " nodes; start with --nodes=" + last +
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
