// kai-node: the nodes of one host, one for each of its I/O loops, mostly one.

#include <iostream>

#include "apps/cluster_plan.hpp"
#include "apps/loop_directories.hpp"
#include "apps/process.hpp"
#include "apps/run_nodes.hpp"
#include "protocol/errc.hpp"

int main(int argc, char** argv) {
  using namespace kai;
  open_standard_streams();
  take_over_signals();
  const program self{"kai-node", "[--config-file=FILE] [--GROUP.KEY=VALUE ...]\n\nRuns one node."};
  auto asked = read_invocation(self, {argv + 1, argv + argc});
  if (!asked)
    return complain(self.name, message_of(asked.error()), exit_used_wrongly);
  if (asked->what == invocation::intent::print) {
    std::cout << asked->text << std::flush;
    return 0;
  }
  set_initial_log_level(asked->options.log);
  auto plan = plan_host(*asked);
  if (!plan)
    return complain(self.name, message_of(plan.error()), exit_used_wrongly);
  if (auto err = check_loop_directories(asked->options))
    return complain(self.name, message_of(err), exit_used_wrongly);
  if (plan->nodes.size() > 1) {
    keep_ports(plan->nodes);
    if (auto err = join_who_is_there(plan->nodes))
      return complain(self.name, message_of(err), exit_used_wrongly);
  }
  return run_nodes(std::move(*plan));
}
