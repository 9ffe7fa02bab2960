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
