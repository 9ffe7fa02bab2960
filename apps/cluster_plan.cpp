#include "apps/cluster_plan.hpp"

#include "protocol/errc.hpp"

namespace kai {

namespace {

/// The `i`th port from `first` on; 0 stays 0.
caf::error count_up(std::string_view option, uint16_t& first, size_t i) {
  if (first != 0 && first + i > UINT16_MAX)
    return failure(errc::bad_configuration, std::string{option} +
                                                ": there are not ports enough for all nodes from " +
                                                std::to_string(first) + " on");
  if (first != 0)
    first = static_cast<uint16_t>(first + i);
  return caf::none;
}

} // namespace

caf::expected<node_plan> plan_cluster(const invocation& asked,
                                      const std::filesystem::path& directory) {
  node_plan result;
  result.program = "kai-cluster";
  result.join_first = true;
  result.ready_line = "kai-cluster ready nodes=" + std::to_string(asked.nodes);
  // Every node brings its own threads; what the user says comes after this and wins.
  result.caf.emplace_back("scheduler.max-threads", caf::config_value{int64_t{1}});
  result.caf.insert(result.caf.end(), asked.caf.begin(), asked.caf.end());
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

} // namespace kai
