// kai-cluster: several nodes in one process, each with an actor system and ports of its own.

#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <iostream>

#include "apps/cluster_plan.hpp"
#include "apps/loop_directories.hpp"
#include "apps/process.hpp"
#include "protocol/errc.hpp"

namespace {

using namespace kai;
namespace fs = std::filesystem;

/// A fresh directory below the system's one for temporary files.
caf::expected<fs::path> make_scratch() {
  std::error_code err;
  auto parent = fs::temp_directory_path(err);
  std::string name = parent / "kai-cluster-XXXXXX";
  if (err || mkdtemp(name.data()) == nullptr)
    return failure(errc::bad_configuration, "storage.directory: cannot make a temporary one: " +
                                                (err ? err.message() : std::strerror(errno)));
  return fs::path{name};
}

caf::error make_directory(const fs::path& path) {
  std::error_code err;
  fs::create_directories(path, err);
  if (err)
    return failure(errc::bad_configuration,
                   "storage.directory: cannot make " + path.string() + ": " + err.message());
  return caf::none;
}

caf::expected<node_plan> make_plan(const invocation& asked) {
  if (asked.given("storage.directory")) {
    auto plan = plan_cluster(asked, asked.options.node.storage.directory);
    if (!plan)
      return plan;
    if (auto err = make_directory(asked.options.node.storage.directory))
      return err;
    if (auto err = check_cluster_directory(asked.options, asked.nodes))
      return err;
    keep_ports(plan->nodes);
    if (auto err = join_who_is_there(plan->nodes))
      return err;
    return plan;
  }
  auto scratch = make_scratch();
  if (!scratch)
    return scratch.error();
  auto plan = plan_cluster(asked, *scratch);
  if (plan)
    plan->scratch = *scratch;
  else
    fs::remove(*scratch);
  return plan;
}

} // namespace

int main(int argc, char** argv) {
  open_standard_streams();
  take_over_signals();
  const program self{
      "kai-cluster",
      "[--nodes=5] [--config-file=FILE] [--GROUP.KEY=VALUE ...]\n\n"
      "Runs a cluster in one process. The first node listens on the given ports, the "
      "next on\nthe ports after them, and so on. Without --storage.directory the "
      "data goes at exit.",
      true};
  auto asked = read_invocation(self, {argv + 1, argv + argc});
  if (!asked)
    return complain(self.name, message_of(asked.error()), exit_used_wrongly);
  if (asked->what == invocation::intent::print) {
    std::cout << asked->text << std::flush;
    return 0;
  }
  set_initial_log_level(asked->options.log);
  auto plan = make_plan(*asked);
  if (!plan)
    return complain(self.name, message_of(plan.error()), exit_used_wrongly);
  return run_nodes(std::move(*plan));
}
