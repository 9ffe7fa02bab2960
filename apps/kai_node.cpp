// kai-node: one node, one actor system.

#include <iostream>

#include "apps/config.hpp"
#include "apps/process.hpp"
#include "apps/run_nodes.hpp"
#include "protocol/errc.hpp"

int main(int argc, char** argv) {
  using namespace kai;
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
  node_plan plan;
  plan.program = self.name;
  plan.nodes = {asked->options.node};
  plan.caf = asked->caf;
  return run_nodes(std::move(plan));
}
