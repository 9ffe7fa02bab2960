#include "apps/cluster_plan.hpp"

#include <algorithm>

#include "apps/loop_directories.hpp"
#include "protocol/errc.hpp"

namespace kai {

namespace {

/// The `i`th port from `first` on; 0 stays 0.
caf::error count_up(std::string_view option, uint16_t& first, size_t i) {
  if (first != 0 && first + i > UINT16_MAX)
    return failure(errc::bad_configuration, std::string{option} +
                                                ": not enough ports for all nodes from " +
                                                std::to_string(first) + " on");
  if (first != 0)
    first = static_cast<uint16_t>(first + i);
  return caf::none;
}

/// Every node brings its own threads; what the user says comes after this and wins.
caf_settings caf_of_many(const invocation& asked) {
  caf_settings result{{"scheduler.max-threads", caf::config_value{int64_t{1}}}};
  result.insert(result.end(), asked.caf.begin(), asked.caf.end());
  return result;
}

caf::expected<std::string> host_name(const node_options& x) {
  if (!x.node.name.empty())
    return x.node.name;
  if (x.cluster.port == 0)
    return failure(errc::bad_configuration, "node.name: has to be set where node.loops is above 1 "
                                            "and cluster.port is 0");
  return to_host_port(x.cluster.address, x.cluster.port);
}

caf::expected<node_options> options_of_loop(const process_options& asked, const std::string& host,
                                            size_t i) {
  auto x = asked.node;
  auto number = std::to_string(i + 1);
  x.node.name = host + '.' + number;
  if (x.node.zone.empty())
    x.node.zone = host;
  if (auto err = count_up("cluster.port", x.cluster.port, i))
    return err;
  if (i > 0)
    x.admin.port.reset();
  if (x.storage.memory_limit != 0)
    x.storage.memory_limit = std::max<uint64_t>(x.storage.memory_limit / asked.loops, 1);
  if (x.storage.cache != 0)
    x.storage.cache = std::max<uint64_t>(x.storage.cache / asked.loops, 1);
  x.storage.directory = loop_directory(x.storage.directory, i + 1);
  if (auto err = x.validate())
    return err;
  return x;
}

} // namespace

caf::expected<node_plan> plan_cluster(const invocation& asked,
                                      const std::filesystem::path& directory) {
  if (asked.options.loops != 1)
    return failure(errc::bad_configuration,
                   "node.loops: has to be 1: each node of kai-cluster has one loop");
  node_plan result;
  result.program = "kai-cluster";
  result.join_earlier = true;
  result.ready_line = "kai-cluster ready nodes=" + std::to_string(asked.nodes);
  result.caf = caf_of_many(asked);
  for (size_t i = 0; i < asked.nodes; ++i) {
    auto number = std::to_string(i + 1);
    auto x = asked.options.node;
    if (!x.node.name.empty())
      x.node.name += number;
    if (auto err = count_up("memcache.port", x.memcache.port, i))
      return err;
    if (auto err = count_up("cluster.port", x.cluster.port, i))
      return err;
    if (x.admin.port)
      if (auto err = count_up("admin.port", *x.admin.port, i))
        return err;
    x.storage.directory = directory / ("node" + number);
    if (auto err = x.validate())
      return err;
    result.nodes.push_back(std::move(x));
  }
  return result;
}

caf::expected<node_plan> plan_host(const invocation& asked) {
  node_plan result;
  result.program = "kai-node";
  if (asked.options.loops == 1) {
    result.nodes = {asked.options.node};
    result.caf = asked.caf;
    return result;
  }
  auto name = host_name(asked.options.node);
  if (!name)
    return std::move(name.error());
  result.host = *name;
  result.join_earlier = true;
  result.caf = caf_of_many(asked);
  for (size_t i = 0; i < asked.options.loops; ++i) {
    auto x = options_of_loop(asked.options, *name, i);
    if (!x)
      return std::move(x.error());
    result.nodes.push_back(std::move(*x));
  }
  return result;
}

} // namespace kai
