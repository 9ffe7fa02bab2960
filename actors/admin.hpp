#pragma once

#include <random>

#include "actors/node_context.hpp"
#include "actors/survey.hpp"
#include "protocol/progress.hpp"

#include <caf/stateful_actor.hpp>
#include <caf/typed_event_based_actor.hpp>

namespace kai {

/// Whom admin asks, and has carry things out, on its own node.
struct admin_sources {
  std::vector<vnode_actor> vnodes;
  sync_actor sync;
  handoff_actor handoff;
  topology_actor topology;
};

/// Answers kai-admin, the HTTP page and `stats cluster` with JSON documents (the outer interface),
/// and the admin actors of other nodes about this one.
///
/// Spawned by node, one; runs on the scheduler; lives as long as the node. Holds open questions,
/// since when members are down, and how the changes under way got on.
struct admin_state {
  static inline const char* name = "kai.admin";
  admin_state() = default;

  context_ptr context;
  admin_sources sources;
  view_ptr view;
  /// Members that this node does not reach, and since when.
  std::map<std::string, timestamp> down_since;
  change_progress progress;
  survey_desk surveys;
};

admin_actor::behavior_type admin(admin_actor::stateful_pointer<admin_state> self,
                                 context_ptr context, admin_sources sources);

} // namespace kai
