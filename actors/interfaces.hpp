// long: every handle and every message of kai on one page
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <caf/actor_clock.hpp>
#include <caf/allowed_unsafe_message_type.hpp>
#include <caf/atom.hpp>
#include <caf/replies_to.hpp>
#include <caf/result.hpp>
#include <caf/type_id.hpp>
#include <caf/typed_actor.hpp>

#include "protocol/messages.hpp"
#include "protocol/sync_rules.hpp"
#include "protocol/topology.hpp"
#include "protocol/topology_changes.hpp"

/// Every actor of kai and every message, on one page. Arrows: who sends it.
namespace kai {

struct cluster_view;
using view_ptr = std::shared_ptr<const cluster_view>;

namespace memcache {
class credentials;
}
using credentials_ptr = std::shared_ptr<const memcache::credentials>;

// --- values that stay within a node --------------------------------------------------------------

/// See coordinator.hpp.
struct held_decision;

/// One thing that a client, or another node's coordinator, wants of one key.
struct request {
  /// Chosen by the sender; the response carries it back.
  uint64_t tag = 0;
  blob key;
  /// nullopt: read.
  std::optional<mutation> write;
  /// See lead_call.
  timestamp above = 0;
  timestamp until = 0;
  /// Of a read: how many replicas must agree, in place of the cluster's R; 0: as many as that.
  uint8_t quorum = 0;
  attempt_ptr tried = {};
  /// Null: it is not decided yet.
  std::shared_ptr<const held_decision> held = {};
  /// Of a write that begins anew: a leader that was asked before may have carried it out.
  bool may_have_happened = false;
};

/// What a request came to: a record (reads), an outcome (writes) or a failure.
struct response {
  uint64_t tag = 0;
  std::variant<failed_answer, record, outcome> what;
};

/// The requests that one read from a client brought.
struct request_list {
  std::vector<request> requests;
  /// They were forwarded by another node: lead their writes here.
  bool forwarded = false;
  /// When they came, where they begin anew; else now.
  std::optional<caf::actor_clock::time_point> began = {};
};

struct response_list {
  std::vector<response> responses;
};

/// Calls for one node; each call's id is the sender's tag, which the answer carries back.
struct call_list {
  std::vector<call> calls;
};

/// What a peer's node, or the peer itself, says to calls of one sender.
struct answer_list {
  std::vector<answer> answers;
};

/// Calls for a vnode, and to whom its answers go: a peer on this node or on another one, or a
/// coordinator beside it.
struct vnode_batch {
  std::vector<call> calls;
  caf::strong_actor_ptr reply_to;
};

/// A peer's connection came or went.
struct peer_status {
  std::string name;
  bool up = false;
  /// It is not up, and another member does not reach it either.
  bool confirmed = false;
};

/// A record that a stand-in keeps for a member that was down.
struct hint {
  partition_id partition = 0;
  blob key;
  std::string target;
  record value;
};

/// Where a pass over a vnode's hints is.
struct hint_cursor {
  partition_id partition = 0;
  uint64_t hash = 0;
};

/// Asks a vnode for some of the hints that can be delivered under this view.
struct hint_question {
  view_ptr view;
  hint_cursor from;
  /// Looks at all hints, so that those that are too old go.
  bool all = false;
};

struct hint_list {
  std::vector<hint> hints;
  /// Where to go on; nullopt: that was all.
  std::optional<hint_cursor> next;
};

/// Hints for one member.
struct hint_tally {
  uint64_t count = 0;
  uint64_t bytes = 0;
  /// None was kept before.
  timestamp oldest = 0;
};

struct hint_report {
  /// By the member's name.
  std::map<std::string, hint_tally> held;
  uint64_t stored = 0;
  uint64_t replayed = 0;
  uint64_t dropped = 0;
  /// Everything that was there at the start is counted.
  bool exact = true;

  uint64_t count() const;
  hint_report& operator+=(const hint_report& x);
};

/// What a vnode's engine holds.
struct vnode_report {
  uint64_t keys = 0;
  uint64_t tombstones = 0;
  uint64_t bytes = 0;
  uint64_t damaged = 0;
  uint64_t evicted = 0;
  uint64_t write_failures = 0;
  uint64_t siblings_dropped = 0;
  hint_report hints;

  vnode_report& operator+=(const vnode_report& x) {
    keys += x.keys;
    tombstones += x.tombstones;
    bytes += x.bytes;
    damaged += x.damaged;
    evicted += x.evicted;
    write_failures += x.write_failures;
    siblings_dropped += x.siblings_dropped;
    hints += x.hints;
    return *this;
  }
};

using partition_list = std::vector<partition_id>;

/// Look at a partition's records from this hash on, and drop those that kai::reapable allows.
struct reap_order {
  partition_id partition = 0;
  uint64_t from = 0;
  /// Since when all replicas were in sync; 0: never.
  timestamp in_sync = 0;
  sync_times times;
};

/// `more`: go on at `next`. `seen`: records that were looked at (limits::reaped_per_tick).
struct reap_result {
  bool more = false;
  uint64_t next = 0;
  uint64_t seen = 0;
  uint64_t reaped = 0;
};

/// How far this node's replicas agree with the others'.
struct sync_report {
  uint64_t partitions = 0;
  /// Of these, those that do not count towards R yet.
  uint64_t recovering = 0;
  /// By live member, partitions that were not found equal since it came back or was asked for.
  std::map<std::string, uint64_t> unequal;
  uint64_t rounds = 0;
  uint64_t keys_sent = 0;
  uint64_t keys_received = 0;
  uint64_t reaped = 0;
  /// Of the topology by which the next two are told.
  uint64_t epoch = 0;
  /// Moving partitions of whose target this node is, and that are filled here; each with the
  /// `changed_at` for which that was found.
  std::vector<std::pair<partition_id, uint64_t>> filled;
  /// Those that are on their way here and not filled yet, and how far they are, below 1.
  std::vector<std::pair<partition_id, double>> filling;
  uint64_t received_per_second = 0;
};

/// What an operator wants of the members, or what their reports allow.
struct change_order {
  enum class kind : uint8_t { leave, remove, undo, filled };
  kind what = kind::undo;
  std::string name;
  bool forced = false;
  /// kind::filled: of the members of this epoch.
  uint64_t epoch = 0;
  std::vector<fill_report> reports;
};

/// What a node has still to drop of what it does not hold any more.
struct handoff_report {
  uint64_t partitions = 0;
  uint64_t dropped = 0;
  /// Of the topology by which this is told.
  uint64_t epoch = 0;
};

// --- messages ------------------------------------------------------------------------------------

using hello_atom = caf::atom_constant<caf::atom("hello")>;
using admin_atom = caf::atom_constant<caf::atom("admin")>;
using flush_batch_atom = caf::atom_constant<caf::atom("flush")>;
/// io_loop, to a connection: the time for its last answers is over.
using abandon_atom = caf::atom_constant<caf::atom("abandon")>;
using go_on_atom = caf::atom_constant<caf::atom("goOn")>;
using make_tree_atom = caf::atom_constant<caf::atom("make_tree")>;
using tick_atom = caf::atom_constant<caf::atom("tick")>;
using dial_atom = caf::atom_constant<caf::atom("dial")>;
using report_atom = caf::atom_constant<caf::atom("report")>;
using flush_all_atom = caf::atom_constant<caf::atom("flushall")>;
using stop_atom = caf::atom_constant<caf::atom("stop")>;
using start_atom = caf::atom_constant<caf::atom("start")>;
using service_atom = caf::atom_constant<caf::atom("service")>;
using epoch_atom = caf::atom_constant<caf::atom("epoch")>;
using late_atom = caf::atom_constant<caf::atom("late")>;
using turn_atom = caf::atom_constant<caf::atom("turn")>;
using suspect_atom = caf::atom_constant<caf::atom("suspect")>;
using witness_atom = caf::atom_constant<caf::atom("witness")>;
using behind_atom = caf::atom_constant<caf::atom("behind")>;
using caught_up_atom = caf::atom_constant<caf::atom("caughtup")>;
using resync_atom = caf::atom_constant<caf::atom("resync")>;
using forget_atom = caf::atom_constant<caf::atom("forget")>;
using stats_atom = caf::atom_constant<caf::atom("stats")>;

} // namespace kai

CAF_ALLOW_UNSAFE_MESSAGE_TYPE(kai::request_list)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(kai::response_list)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(kai::call_list)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(kai::answer_list)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(kai::vnode_batch)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(kai::peer_status)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(kai::vnode_report)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(kai::hint_question)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(kai::reap_order)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(kai::reap_result)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(kai::sync_report)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(kai::change_order)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(kai::handoff_report)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(kai::hint_list)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(kai::view_ptr)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(kai::credentials_ptr)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(kai::topology)

namespace kai {

// --- actors --------------------------------------------------------------------------------------

/// Published at the cluster port; never grows or changes (CAF compares signatures on connect). What
/// is behind it is told apart by hello::protocol.
using gateway_actor = caf::typed_actor<
    // peers, first thing after connecting; an error: errc::incompatible
    caf::replies_to<hello_atom, hello>::with<hello>,
    // peers; answered with answer_batch messages to the sender
    caf::reacts_to<call_batch>,
    // kai-admin, and nodes that join: a command and its arguments, answered with a JSON document
    caf::replies_to<admin_atom, std::string, std::vector<std::string>>::with<std::string>>;

/// Where answer_batch messages go: a peer, or what stands for it in a simulated network.
using answer_batch_sink = caf::typed_actor<caf::reacts_to<answer_batch>>;

/// Who asked a peer something: a coordinator, topology, admin.
using answer_sink = caf::typed_actor<caf::reacts_to<answer_list>>;

/// Who gave a coordinator work: a connection, a gateway.
using response_sink = caf::typed_actor<caf::reacts_to<response_list>>;

using vnode_actor = caf::typed_actor<
    // gateway, before the first batch: the cluster's number of partitions
    caf::reacts_to<start_atom, uint32_t>,
    // gateway
    caf::reacts_to<vnode_batch>,
    // itself: carry out what was gathered, with one write
    caf::reacts_to<flush_batch_atom>,
    // itself: make one of the trees that are waited for
    caf::reacts_to<make_tree_atom>,
    // itself, every 100 ms: storage.sync=interval
    caf::reacts_to<tick_atom>,
    // stats, admin
    caf::replies_to<report_atom>::with<vnode_report>,
    // sync: which partitions are behind
    caf::replies_to<behind_atom>::with<partition_list>,
    // sync: these are, since then
    caf::reacts_to<behind_atom, partition_list, timestamp>,
    // sync: these have been compared since then, and are behind only with what was lost later
    caf::reacts_to<caught_up_atom, partition_list, timestamp>,
    // sync
    caf::replies_to<reap_order>::with<reap_result>,
    // hints
    caf::replies_to<hint_question>::with<hint_list>,
    // hints: these were taken by whom they were for
    caf::reacts_to<hint_list>,
    // topology: drop all records of so many partitions, before the node is a member
    caf::replies_to<forget_atom, uint32_t>::with<bool>,
    // node: write everything and end
    caf::replies_to<stop_atom>::with<bool>>;

using vnode_list = std::vector<vnode_actor>;

using peer_actor = caf::typed_actor<
    // topology, admin, coordinators (of this node's own peer); each call is answered to the sender
    caf::reacts_to<call_list>,
    // gateways and vnodes of the other node
    caf::reacts_to<answer_batch>,
    // membership: the member is gone or has another peer; refuse what still comes, and end later
    caf::reacts_to<stop_atom>,
    // membership: whether another member reaches the node, which is silent
    caf::reacts_to<witness_atom, bool>,
    // itself and coordinators: take what is in the outbox, and send all
    caf::reacts_to<flush_batch_atom>,
    // io_loop
    caf::reacts_to<tick_atom>,
    // itself
    caf::reacts_to<dial_atom>>;

using coordinator_actor = caf::typed_actor<
    // gateway, and in a client's name a coordinator whose operation begins anew; answered with
    // response_list messages to the sender
    caf::reacts_to<request_list>,
    // io_loop: take what clients ask; answered with response_list messages to their connections
    caf::reacts_to<flush_batch_atom>,
    // peers
    caf::reacts_to<answer_list>,
    // this node's vnode, when that runs on the loop
    caf::reacts_to<answer_batch>,
    // io_loop: the operation may go on, it is its key's turn
    caf::reacts_to<turn_atom, uint32_t>,
    // itself: the operation begins anew, for the lists of its partition changed
    caf::reacts_to<tick_atom, uint32_t>,
    // itself, after a pause: the operation goes on where this call's tag says. The next leader is
    // asked, or the replica that was lost (it has certainly not stored what it was asked to) is
    // looked at again
    caf::reacts_to<go_on_atom, uint64_t, bool>,
    // io_loop: the batch is under way for long
    caf::reacts_to<late_atom>>;

/// Opens connections to other nodes, off the I/O loop.
using dialer_actor = caf::typed_actor<
    // peers, topology: HOST:PORT of a gateway
    caf::replies_to<dial_atom, std::string>::with<gateway_actor>>;

using topology_actor = caf::typed_actor<
    // node: load, found or join; answered when this node is a member
    caf::replies_to<start_atom>::with<bool>,
    // peers and gateway: somebody uses this epoch; the name says who
    caf::reacts_to<epoch_atom, uint64_t, std::string>,
    // connections: flush everything older than now plus a delay in seconds; answered when live
    // members know
    caf::replies_to<flush_all_atom, int64_t>::with<bool>,
    // gateway: a request of another node's topology actor
    caf::replies_to<service_atom, std::string>::with<std::string>,
    // gateway: a node that wants to join (an encoded member); answered with the encoded topology
    caf::replies_to<admin_atom, std::string>::with<std::string>,
    // admin, handoff: propose this; answered with the epoch that contains it
    caf::replies_to<change_order>::with<uint64_t>,
    // membership
    caf::reacts_to<view_ptr>,
    // peers
    caf::reacts_to<answer_list>,
    // itself
    caf::reacts_to<tick_atom>>;

/// Answers kai-admin.
using admin_actor = caf::typed_actor<
    // gateway: command and arguments -> JSON
    caf::replies_to<admin_atom, std::string, std::vector<std::string>>::with<std::string>,
    // gateway: a question of another node's admin actor
    caf::replies_to<service_atom, std::string>::with<std::string>,
    // membership
    caf::reacts_to<view_ptr>,
    // peers
    caf::reacts_to<answer_list>>;

/// The gateway, as actors of its own node know it.
using local_gateway_actor = gateway_actor::extend<
    // coordinators that lead forwarded writes
    caf::reacts_to<response_list>,
    // itself, at the end of a loop turn: send what was gathered
    caf::reacts_to<flush_batch_atom>,
    // itself, by timer: the loop's tick
    caf::reacts_to<tick_atom>,
    // membership: who owns what and who is alive, from now on
    caf::reacts_to<view_ptr>,
    // node: who may use this node, from now on
    caf::reacts_to<credentials_ptr>,
    // node, once: whom it passes what is not about keys
    caf::reacts_to<start_atom, vnode_list, topology_actor, admin_actor>>;

/// Brings hints to whom they are for.
using hints_actor = caf::typed_actor<
    // membership
    caf::reacts_to<view_ptr>,
    // peers
    caf::reacts_to<answer_list>,
    // itself: go on with the pass; and by timer, begin one
    caf::reacts_to<turn_atom>, caf::reacts_to<tick_atom>>;

/// Sees that partitions on their way arrive: proposes that filled targets are in force, and drops
/// what this node does not hold any more.
using handoff_actor = caf::typed_actor<
    // membership
    caf::reacts_to<view_ptr>,
    // peers
    caf::reacts_to<answer_list>,
    // admin
    caf::replies_to<report_atom>::with<handoff_report>,
    // itself: go on dropping; and by timer, look how far the moves are
    caf::reacts_to<turn_atom>, caf::reacts_to<tick_atom>>;

/// Who wants to know who owns what and who is alive.
using view_sink = caf::typed_actor<caf::reacts_to<view_ptr>>;

using membership_actor = caf::typed_actor<
    // node, once: who gets each new view, beside the gateway
    caf::reacts_to<start_atom, topology_actor, admin_actor>,
    // node: one more of them
    caf::reacts_to<start_atom, view_sink>,
    // topology: what was decided
    caf::reacts_to<topology>,
    // peers
    caf::reacts_to<peer_status>,
    // peers: the member of this name is silent, do others reach it?
    caf::reacts_to<suspect_atom, std::string>,
    // peers: what the others say
    caf::reacts_to<answer_list>>;

/// Keeps this node's replicas equal to the others'.
using sync_actor = caf::typed_actor<
    // membership
    caf::reacts_to<view_ptr>,
    // peers
    caf::reacts_to<answer_list>,
    // admin: compare everything anew, now
    caf::reacts_to<resync_atom>,
    // admin, stats
    caf::replies_to<report_atom>::with<sync_report>,
    // itself: a comparison has rested; and by timer, look what is due
    caf::reacts_to<turn_atom>, caf::reacts_to<tick_atom>>;

/// Counts what happens on this node and says it in memcached's words.
using stats_actor = caf::typed_actor<
    // connections: the argument of `stats`; answered with the lines, END included
    caf::replies_to<stats_atom, std::string>::with<std::string>>;

} // namespace kai
