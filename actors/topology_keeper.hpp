#pragma once

#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include <caf/stateful_actor.hpp>
#include <caf/typed_event_based_actor.hpp>
#include <caf/typed_response_promise.hpp>

#include "actors/cluster_view.hpp"
#include "actors/node_context.hpp"
#include "actors/survey.hpp"
#include "protocol/paxos.hpp"
#include "protocol/topology_messages.hpp"

namespace kai {

/// Where a topology actor keeps what it must not forget. Both return after the bytes are durable;
/// over a memory engine they last as long as the node, whose id does not outlive it either.
struct durable_files {
  std::function<caf::expected<std::optional<std::string>>(const std::string& name)> read;
  std::function<caf::error(const std::string& name, const std::string& bytes)> write;
};

/// A change of the topology that somebody on this node waits for.
struct topology_change {
  std::string description;
  /// Applied to the topology in force each time a vote starts.
  std::function<caf::expected<topology>(const topology& now)> apply;
  /// Called once: with the topology that contains it, or with why it can not be.
  std::function<void(caf::expected<topology>)> done;
  /// Until when whoever wants it waits. No vote that starts later contains it.
  caf::actor_clock::time_point until = caf::actor_clock::time_point::max();
  /// Of the changes that wait with the same subject only the last counts; empty: it is about
  /// nothing that others are about.
  std::string subject{};
  /// Wrong to make again where it may have been made already.
  bool once = false;
  /// The epoch that members were asked to accept with the change in it, which one of them may see
  /// through; empty: none yet, or another was decided.
  blob sent{};
  uint64_t sent_epoch = 0;
};

/// Who owns what: holds the topology in force, votes on the next one and proposes changes. The
/// rules are paxos.hpp's and topology.hpp's; each vote is durable before it is answered.
///
/// Spawned by node, one. Runs on the scheduler, for it waits for the disk. Lives as long as the
/// node; what it knows is on disk. A node that can not write its vote answers nothing, and the
/// others decide without it.
struct topology_state {
  static inline const char* name = "kai.topology";
  topology_state() = default;

  context_ptr context;
  durable_files files;
  std::vector<vnode_actor> vnodes;
  dialer_actor dialer;
  membership_actor membership;
  std::mt19937_64 random;

  topology current;
  /// This node's vote on epoch current.epoch + 1.
  paxos::vote vote;
  view_ptr view;

  // --- joining
  std::vector<caf::typed_response_promise<bool>> starting;
  size_t next_seed = 0;
  struct join_error {
    std::string text;
    /// When the same one is worth a line again.
    caf::actor_clock::time_point again;
  };
  /// The last one, by seed.
  std::map<std::string, join_error> join_errors;

  /// Whether it is not known yet if the data is too old to take part with. Until then what the
  /// others decide is not used, not even learnt: the node will ask for it.
  bool age_unsettled = false;
  /// Asks anew whether the data is too old.
  std::function<void()> age_retry;

  // --- proposing
  /// When this node last accepted a proposal.
  caf::actor_clock::time_point accepted_at;
  std::deque<topology_change> queue;
  /// Those of `queue` that the proposal under way contains.
  std::vector<topology_change> proposed;
  std::optional<paxos::proposal> proposal;
  uint64_t proposal_epoch = 0;
  bool accepting = false;
  bool retry_due = false;
  int attempts = 0;
  uint64_t last_round = 0;

  /// flush_all as it was asked for.
  struct flush_order {
    /// Seconds, as in the command.
    int64_t delay;
    /// No vote on it begins later.
    caf::actor_clock::time_point until;
    caf::typed_response_promise<bool> promise;
  };
  /// flush_all whose mark was decided and lies ahead.
  struct pending_flush {
    timestamp mark;
    caf::actor_clock::time_point due;
    caf::typed_response_promise<bool> promise;
  };
  std::vector<pending_flush> flushing;
  /// Those that wait until another one, whose mark is near, has taken effect.
  std::vector<flush_order> flushes_waiting;

  survey_desk surveys;
  /// The newest epoch that the others were asked for and that has not come yet; 0: none.
  uint64_t fetching = 0;
};

/// Why a node does not start on the data of one that has left its cluster.
caf::error no_longer_a_member(const std::string& directory);

topology_actor::behavior_type topology_keeper(topology_actor::stateful_pointer<topology_state> self,
                                              context_ptr context, durable_files files,
                                              std::vector<vnode_actor> vnodes, dialer_actor dialer,
                                              membership_actor membership, uint64_t seed);

} // namespace kai
