#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <unordered_map>
#include <vector>

#include <caf/stateful_actor.hpp>
#include <caf/typed_event_based_actor.hpp>

#include "actors/hint_store.hpp"
#include "actors/io_loop.hpp"
#include "actors/node_context.hpp"
#include "actors/partition_trees.hpp"
#include "storage/engine.hpp"

namespace kai {

/// Makes an engine for a number of partitions.
using engine_factory =
    std::function<std::shared_ptr<engine>(const context_ptr& context, uint32_t partitions)>;

/// What an engine's hook says was lost, until the vnode takes note of it.
struct engine_losses {
  bool all = false;
  std::vector<partition_id> partitions;
};
using losses_ptr = std::shared_ptr<engine_losses>;

/// A stripe of this node's partitions and the engine under it. Makes the dots of the writes it
/// leads and decides conditional ones. Gathers the batches that wait and carries them out with one
/// write of the engine.
///
/// Spawned by node, a fixed number. Runs on the I/O loop over a memory engine, on a thread of its
/// own over LevelDB, which may block. Lives as long as the node; what it acknowledged is in the
/// engine.
struct vnode_state {
  static inline const char* name = "kai.vnode";
  vnode_state() = default;

  /// A record as it will be once the batch at hand is written.
  struct pending_write {
    partition_id partition = 0;
    record value;
    footprint replaced;
    uint64_t replaced_digest = 0;
  };
  struct key_hasher {
    size_t operator()(const blob& x) const { return static_cast<size_t>(key_hash(x.view())); }
  };
  /// One vnode_batch on its way to being answered.
  struct work {
    std::vector<call> calls;
    caf::strong_actor_ptr reply_to;
    answer_batch answers;
    /// Indices of answers that hold only if the engine takes the write.
    std::vector<size_t> depend_on_write;
  };

  context_ptr context;
  std::shared_ptr<engine> storage;
  engine_factory remake;
  losses_ptr losses;
  /// Null where it is on the I/O loop itself.
  std::shared_ptr<read_window> window;
  /// Null where it is not on it.
  io_loop_ptr loop;
  partition_trees trees;
  /// Since when, by the cluster's clock, the replicas of a partition elsewhere may have more, and
  /// what is not here proves nothing; 0: it has caught up.
  std::vector<timestamp> behind;
  /// When the last handler ended.
  caf::actor_clock::time_point idle_since;
  /// Dots are issued below this, which is on disk. Unlimited over a memory engine, whose node id is
  /// new every time.
  timestamp clock_bound = 0;
  std::vector<work> waiting;
  /// Those that ask for trees which are not there yet. One is made in a turn, by a look at all of
  /// its partition, so that what clients ask comes in between.
  std::deque<work> awaiting_trees;
  bool flush_due = false;
  std::unordered_map<blob, pending_write, key_hasher> writes;
  /// Decisions of this node that wait until other replicas have accepted them (apply_call::hold);
  /// at most one per key whose turn it is. One that is neither stored nor released, because that
  /// call came to nothing, goes when nobody can wait for it any more.
  struct held_record {
    record value;
    /// By the wall clock.
    timestamp since = 0;
  };
  std::unordered_map<blob, held_record, key_hasher> held;
  /// What it keeps for members that are down.
  hint_store hints;
  uint64_t siblings_dropped = 0;

  /// What is behind has changed.
  void publish() {
    if (!window)
      return;
    std::vector<bool> is_behind;
    for (auto since : behind)
      is_behind.push_back(since != 0);
    window->publish(std::move(is_behind));
  }
  void fall_behind(const partition_list& partitions, timestamp since) {
    for (auto x : partitions)
      if (x < behind.size() && !evicts())
        behind[x] = std::max(behind[x], since);
    publish();
  }
  /// With all.
  void fall_behind() {
    if (!evicts())
      behind.assign(behind.size(), context->now());
    publish();
  }
  /// Before its start it knows of no partition, and is behind with all.
  bool caught_up(partition_id x) const { return evicts() || (x < behind.size() && behind[x] == 0); }
  /// A node that evicts is a cache: it keeps no trees, and is never behind.
  bool evicts() const { return context->options.storage.evicts(); }
  uint64_t write_failures = 0;
};

/// `remake`: for an engine whose layout depends on the number of partitions, which a node that
/// joins learns late; else empty. `losses`: what the
/// engine's hook fills (null: nothing can be lost). `window`: null where the vnode is on the I/O
/// loop. `loop`: null where it is not.
vnode_actor::behavior_type vnode(vnode_actor::stateful_pointer<vnode_state> self,
                                 context_ptr context, std::shared_ptr<engine> storage,
                                 engine_factory remake, losses_ptr losses,
                                 std::shared_ptr<read_window> window, io_loop_ptr loop);

/// Sets `clock` above everything that was issued over this engine before.
caf::error restore_clock(engine& storage, hybrid_clock& clock);

} // namespace kai
