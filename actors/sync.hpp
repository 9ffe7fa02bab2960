#pragma once

#include <functional>
#include <map>
#include <set>
#include <string>
#include <vector>

#include <caf/stateful_actor.hpp>
#include <caf/typed_event_based_actor.hpp>

#include "actors/cluster_view.hpp"
#include "actors/node_context.hpp"
#include "actors/survey.hpp"
#include "protocol/pace.hpp"
#include "protocol/progress.hpp"

namespace kai {

/// Makes this node's replicas equal to the others', and says when they are: compares with each
/// other member that is alive, in rounds (sync_round.hpp), by timer and whenever one comes back.
/// From that follows which of its partitions count towards R (those that were compared with all
/// live replicas since the start, or since a pause, and for whose node nobody keeps hints), and
/// which records may go (kai::reapable).
///
/// Spawned by node, one; runs on the scheduler; lives as long as the node. What it knows is gone
/// with it, and found anew.
struct sync_state {
  static inline const char* name = "kai.sync";
  sync_state() = default;

  using time_point = caf::actor_clock::time_point;

  /// Another member.
  struct partner {
    bool alive = false;
    bool comparing = false;
    /// Raised when what was known is forgotten: a comparison from before tells nothing then.
    uint64_t generation = 0;
    time_point due;
    /// Per partition, up to when both are equal by the last comparison; 0: none since the
    /// partner came, or since somebody wants to know anew.
    std::vector<timestamp> equal_at;
    /// The same, but never forgotten: for what may go.
    std::vector<timestamp> ever_equal_at;
    /// The highest epoch by which it said to hold nothing but what is its own.
    uint64_t dropped_until = 0;
  };

  context_ptr context;
  std::vector<vnode_actor> vnodes;
  /// Notes on the disk that the node is alive.
  std::function<void()> note_alive;
  view_ptr view;
  survey_desk surveys;
  std::map<std::string, partner> partners;
  /// Vnodes that have said which partitions are behind, since the start or the last stop of the
  /// process; all partitions count as such until all have.
  std::set<size_t> heard;
  /// Of the process, since the start: what a vnode was asked before one tells nothing after it.
  uint64_t stops = 0;
  /// Own partitions that are behind, and since when this is known.
  std::map<partition_id, timestamp> behind;
  /// When all live members were last asked for hints for this node and had none.
  timestamp no_hints_at = 0;
  bool asking_for_hints = false;
  time_point started;
  time_point last_tick;
  time_point next_poll;
  time_point next_alive;

  // --- pacing
  pace rhythm;
  /// Comparisons that rest, and until when.
  std::multimap<time_point, std::function<void()>> resting;
  /// Requests of clients that each member had answered when it was asked last, and when that was.
  std::map<std::string, uint64_t> requests;
  time_point load_asked;
  bool asking_for_load = false;

  // --- progress
  /// Of a partition on its way to this node: leaves that differed, at most, and that still do.
  struct filling {
    uint64_t changed_at = 0;
    size_t most = 0;
    size_t left = 0;
  };
  std::map<partition_id, filling> fillings;
  rate_meter received;

  // --- reaping
  /// Whether members are being asked for what they still have to drop, and when they are next.
  bool asking_for_dropped = false;
  time_point next_dropped;
  bool reaping = false;
  partition_id reap_partition = 0;
  uint64_t reap_from = 0;
  /// Records looked at since the last tick.
  uint64_t reap_seen = 0;
  time_point next_sweep;

  sync_report counted;
};

sync_actor::behavior_type sync(sync_actor::stateful_pointer<sync_state> self, context_ptr context,
                               std::vector<vnode_actor> vnodes, std::function<void()> note_alive);

} // namespace kai
