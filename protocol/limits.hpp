#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>

/// Every limit on what is fed from outside, in one place. Past a limit kai answers
/// `SERVER_ERROR busy` or stops reading; it never grows. Each has a counter in stats.
namespace kai::limits {

// --- memcache ------------------------------------------------------------------------------------

/// Bytes of a key (protocol.txt).
inline constexpr size_t key_bytes_max = 250;

/// Bytes of a command line without its data block, `get` with its many keys excepted: as memcached.
inline constexpr size_t command_line_bytes_max = 2048;

/// Keys in one command: a line of `get` with more is handed on in pieces.
inline constexpr size_t keys_per_command_max = 64;

/// Keys of which a node remembers when it gave them to a client.
inline constexpr size_t access_marks_max = 16 * 1024;

/// Bytes of a SASL message.
inline constexpr size_t sasl_bytes_max = 4096;

/// Bytes of the reason in a "SERVER_ERROR <reason>".
inline constexpr size_t failure_text_bytes_max = 512;

/// Bytes of a command line that arrives with its end.
inline constexpr size_t command_line_at_once_bytes_max = 16 * 1024;

/// Bytes of one read from a client's socket: few at first, more while the client sends much.
inline constexpr size_t client_read_bytes_min = 4 * 1024;
inline constexpr size_t client_read_bytes_max = 64 * 1024;

/// Commands of one client under way at once. Above, nothing more of what it sent is looked at, and
/// reading stops.
inline constexpr size_t commands_in_flight_max = 256;

/// Bytes of what a client sent that are looked at between two looks at the limits above and below:
/// half as many commands may come of them (keys of one letter).
inline constexpr size_t client_bytes_at_once = 2 * 1024;

/// Bytes of answers that a client has not taken yet. Reading stops above the high mark and goes on
/// below the low one.
inline constexpr size_t unsent_bytes_high = 1024 * 1024;
inline constexpr size_t unsent_bytes_low = 256 * 1024;

/// The same of all clients of a node together. Above, each may have only a little.
inline constexpr size_t unsent_bytes_of_all_high = 256 * 1024 * 1024;
inline constexpr size_t unsent_bytes_when_scarce = 64 * 1024;

/// Bytes of answers that one client's commands may have under way, by the size of its last ones;
/// before the first, an answer is taken to have so many. A value that comes when there are so many
/// more unsent ones than the above is dropped, and read again when they are gone.
inline constexpr size_t answer_bytes_in_flight_max = 256 * 1024;
inline constexpr size_t answer_bytes_first = 16 * 1024;

/// How long a client that has ended its connection, or sends no more, may take for the last
/// answers.
inline constexpr std::chrono::seconds last_answers_max{30};

/// Bytes of values that one client's commands have on their way to the replicas.
inline constexpr size_t request_bytes_in_flight_max = 4 * 1024 * 1024;

/// The largest values that memcache.max-connections and memcache.max-item-size take.
inline constexpr size_t client_connections_max = 65536;
inline constexpr size_t item_bytes_max = 128 * 1024 * 1024;

// --- between nodes -------------------------------------------------------------------------------

/// Replicas of a key (cluster.replicas).
inline constexpr size_t replicas_max = 16;

/// Nodes that hold a partition: while it moves those of two lists.
inline constexpr size_t places_max = 2 * replicas_max;

/// Members of a cluster.
inline constexpr size_t members_max = 1024;

/// Bytes of a member's name, of a zone's, and of an address (a DNS name and a port).
inline constexpr size_t member_name_bytes_max = 255;
inline constexpr size_t zone_bytes_max = 255;
inline constexpr size_t address_bytes_max = 261;

/// cluster.partitions.
inline constexpr size_t partitions_max = 32768;

/// Bytes of node.name and node.zone, and of a host in an address.
inline constexpr size_t node_name_bytes_max = 128;
inline constexpr size_t host_bytes_max = 255;

/// Calls and bytes (beside two of the largest values) in flight per peer. Above: errc::overloaded.
inline constexpr size_t calls_in_flight_max = 16 * 1024;
inline constexpr size_t call_bytes_in_flight_max = 64 * 1024 * 1024;

/// Calls and bytes in one batch; a larger batch leaves as several.
inline constexpr size_t batch_calls_max = 512;
inline constexpr size_t batch_bytes_max = 1024 * 1024;

/// Bytes of one message between nodes: one value of the largest item size and its record.
inline constexpr size_t message_bytes_max = 256 * 1024 * 1024;

/// Bytes of one read from a node's connection, into a buffer that all of them share.
inline constexpr size_t node_read_bytes = 64 * 1024;

/// Bytes that a connection keeps for sending when all is sent.
inline constexpr size_t send_buffer_kept_max = 256 * 1024;

/// Concurrent versions of one key; the oldest go above.
inline constexpr size_t siblings_max = 32;

/// Entries of a version vector; the oldest go above.
inline constexpr size_t version_vector_max = 16;

/// Conditional writes that wait for their turn at one key.
inline constexpr size_t writers_waiting_max = 1024;

/// Rounds of read-and-decide of one conditional write.
inline constexpr int conditional_rounds_max = 8;

/// Hints of one vnode: bytes for one member and for all, and how old one may get, which is before a
/// delete mark that it knows nothing of may go. What is refused or dropped, sync brings.
inline constexpr uint64_t hint_target_bytes_max = 64 * 1024 * 1024;
inline constexpr uint64_t hint_bytes_max = 256 * 1024 * 1024;
constexpr std::chrono::nanoseconds hint_age(std::chrono::nanoseconds grace) {
  return grace / 4 * 3;
}

/// The same of a memory engine that may take `memory_limit` bytes (0: any): hints are never
/// evicted, and shall leave room for data.
constexpr uint64_t hint_bytes_within(uint64_t memory_limit, uint64_t most) {
  constexpr uint64_t part = 8;
  return memory_limit != 0 && memory_limit / part < most ? memory_limit / part : most;
}

/// Hints that are on their way to their members at once, their bytes, and how many a vnode looks at
/// to find them.
inline constexpr size_t hints_in_flight_max = 128;
inline constexpr size_t hint_bytes_in_flight_max = 256 * 1024;
inline constexpr size_t hints_looked_at_max = 1024;

/// Bytes of records that a node with LevelDB keeps in memory, where nobody says. Programs take what
/// storage.cache says, or this part of the memory that there is, for all nodes of the process.
inline constexpr size_t cached_record_bytes = 32 * 1024 * 1024;
inline constexpr uint64_t cached_part_of_memory = 8;
inline constexpr uint64_t cached_record_bytes_max = uint64_t{4} * 1024 * 1024 * 1024;

// --- the node itself -----------------------------------------------------------------------------

/// Bytes of the configuration file.
inline constexpr size_t config_file_bytes_max = 1024 * 1024;

/// Nodes of one kai-cluster process, and loops of one kai-node.
inline constexpr size_t nodes_per_process_max = 64;

/// A process that was asked to stop ends within 5 s, hard if need be.
inline constexpr std::chrono::milliseconds stop_deadline{4800};

/// Bytes of one line of the log.
inline constexpr size_t log_line_bytes_max = 4096;

/// Connections to the admin server, bytes of a request to it, and how long either end may take.
inline constexpr size_t admin_connections_max = 64;
inline constexpr size_t admin_request_bytes_max = 8 * 1024;
inline constexpr std::chrono::seconds admin_deadline{5};

/// The largest --timeout of kai-admin.
inline constexpr std::chrono::hours admin_timeout_max{24};

// --- time ----------------------------------------------------------------------------------------

/// Every request of a client is answered within 2 s, but for very large values. A read, a digest, a
/// decision or a store is answered within `call_deadline`, by the node or by its peer's tick; so
/// the longest chain of a leader ends within `lead_deadline` (read, write back, decide, store), or
/// `blind_lead_deadline` where it decides within `repeatable_decide_within` (then: store). That is
/// what the coordinator that forwarded to it waits. No new attempt starts later than
/// `attempts_until`, or `blind_attempts_until`, after the request came; what begins anew later
/// waits for its leader only as long as the client waits. A `delete` that a leader has refused, as
/// where its turn did not come, is asked of another one with a look at the key until
/// `delete_looks_until`: that may come to nothing, too, before it is too late to go without. A
/// replica that turns out to be down while it is written makes the chain longer by a call to its
/// stand-in: that is made only while its answer can come before `request_deadline`, or before the
/// forwarding coordinator stops waiting.
inline constexpr std::chrono::milliseconds request_deadline{1950};
inline constexpr std::chrono::milliseconds call_deadline{400};
inline constexpr std::chrono::milliseconds lead_deadline{1700};
inline constexpr std::chrono::milliseconds blind_lead_deadline{850};
inline constexpr std::chrono::milliseconds blind_attempts_until{950};
inline constexpr std::chrono::milliseconds attempts_until{200};
inline constexpr std::chrono::milliseconds delete_looks_until{550};

/// What a large value may take longer, for a way to another node or into storage: a millisecond per
/// so many bytes, up to `large_value_extra_max`. Who leads a write of one, and the client, may wait
/// twice that longer.
inline constexpr size_t bytes_per_extra_ms = 64 * 1024;
inline constexpr std::chrono::milliseconds large_value_extra_max{1500};

/// The wait before an operation begins anew because nodes did not agree yet on who holds its
/// partition.
inline constexpr std::chrono::milliseconds begin_anew_pause{5};

/// The same where the replicas that a write lacks may be alive for others: within so long somebody
/// else mostly has said.
inline constexpr std::chrono::milliseconds doubt_pause{25};

/// A write that may run twice is decided by its leader so soon after it was sent, or not at all.
/// When another leader is asked, the hybrid clock goes ahead by as much, so that the second dot
/// lies above the first. Where that is further ahead of the wall clock than `clock_lead_max`, the
/// other leader is asked only when the time is over: with connections that break all the time the
/// clock would run away, and of two sides of a cluster that do not hear of each other the one whose
/// clock is ahead wins.
inline constexpr std::chrono::milliseconds repeatable_decide_within{300};
inline constexpr std::chrono::milliseconds clock_lead_max{1000};

/// A read whose record has not come after so long asks another replica for it; extra calls of this
/// kind are at most one in `hedged_one_in`.
inline constexpr std::chrono::milliseconds hedge_after{50};
inline constexpr uint64_t hedged_one_in = 20;

/// A question to another node's topology or admin actor.
inline constexpr std::chrono::milliseconds service_deadline{1500};

/// How far ahead of its decision the mark of a flush_all lies: long enough for every live node to
/// hear of it before its clock gets there.
inline constexpr std::chrono::milliseconds flush_lead{30};
inline constexpr std::chrono::milliseconds flush_lead_alone{2};

/// The wait between two lots of hints on their way; how often a node looks whether there are hints
/// to deliver, when no member came back; and every how many such looks go over all hints, for those
/// that are too old.
inline constexpr std::chrono::milliseconds hint_pause{20};
inline constexpr std::chrono::milliseconds hint_interval{2000};
inline constexpr unsigned hint_expiry_every = 30;

/// How long a conditional write waits for its turn at its key.
inline constexpr std::chrono::milliseconds turn_wait_max{500};

/// How often a peer looks for calls past their deadline.
inline constexpr std::chrono::milliseconds peer_tick{50};

/// How long a peer that was replaced still refuses calls: longer than the last request of an older
/// view may live.
inline constexpr std::chrono::milliseconds peer_retired{5000};

/// How often a peer probes its node while nothing else comes from it. After so long without any
/// sign other members are asked whether they reach it; then it is taken for gone, sooner where they
/// do not reach it either.
inline constexpr std::chrono::milliseconds probe_interval{200};
inline constexpr std::chrono::milliseconds suspect_after{500};
inline constexpr std::chrono::milliseconds probe_timeout_unreached{750};
inline constexpr std::chrono::milliseconds probe_timeout{950};

/// How many members are asked, and how long each of them waits for the node's answer.
inline constexpr size_t witnesses_max = 3;
inline constexpr std::chrono::milliseconds ping_deadline{150};

/// Two replicas of a partition are compared so often, after a failure so soon again, and right away
/// when a node is back. What changed within `sync_young` is no difference but on its way.
inline constexpr std::chrono::seconds sync_interval{10};
inline constexpr std::chrono::milliseconds sync_retry{1000};
inline constexpr std::chrono::milliseconds sync_tick{100};
inline constexpr std::chrono::seconds sync_young{2};

/// Of one comparison, under way at once: partitions, leaves and keys; fewer while clients are busy.
inline constexpr size_t sync_partitions_at_once = 64;
inline constexpr size_t sync_leaves_in_flight = 16;
inline constexpr size_t sync_keys_in_flight = 32;

/// What comparisons take while clients are busy, which they are above so many requests per second
/// to the whole cluster: such a share of the above in one lot, bytes in it, and a rest after it of
/// so many times as long as it took for each comparison that the node has under way. And the bytes
/// in a lot while they are not.
inline constexpr double idle_requests_per_second = 5;
inline constexpr size_t busy_lot_share = 2;
inline constexpr uint64_t busy_lot_bytes = 256 * 1024;
inline constexpr double busy_rest_share = 4;
inline constexpr std::chrono::milliseconds busy_rest_min{1};
inline constexpr std::chrono::milliseconds busy_rest_max{20};
inline constexpr uint64_t idle_lot_bytes = 4 * 1024 * 1024;

/// How often a node that compares asks the others for how busy their clients are.
inline constexpr std::chrono::milliseconds load_interval{1000};

/// How long a node that starts waits for the others' connections before it takes those that are
/// not there for down.
inline constexpr std::chrono::milliseconds recovery_patience{1000};

/// How long a delete mark stays: longer than the grace, so that a replica that comes back with a
/// copy of its data just within the grace has time to be compared.
template <class Duration>
constexpr Duration reap_age(Duration grace) {
  return grace + grace / 4;
}

/// Records that are looked at, per tick of the sync actor, for whether they may go; a large one
/// counts once more for each so many bytes, which take about as long.
inline constexpr size_t reaped_per_tick = 2000;
inline constexpr uint64_t reaped_bytes_per_look = 4096;

/// Records of a partition that went to others: how many are dropped in one step, how long after
/// they went, and the wait between two steps.
inline constexpr size_t dropped_at_once = 100;
inline constexpr std::chrono::milliseconds drop_after{1000};
inline constexpr std::chrono::milliseconds drop_pause{5};

/// How often the members are asked how far partitions on their way are, and so how often an epoch
/// puts filled ones in force, at most.
inline constexpr std::chrono::milliseconds handoff_tick{250};

/// How often a node notes that it is alive, at most; never less often than ten times within
/// storage.grace.
inline constexpr std::chrono::seconds alive_interval{10};

/// How long opening a connection to a node, and its first words, may take.
inline constexpr std::chrono::milliseconds dial_deadline{3000};
inline constexpr std::chrono::milliseconds hello_deadline{1000};
inline constexpr std::chrono::milliseconds probe_connect{300};

/// How long after it accepted a proposal a member waits to hear that it was decided, before it sees
/// the vote through by itself.
inline constexpr std::chrono::milliseconds vote_patience{1500};

/// How long a node that is out goes on answering those who do not know yet.
inline constexpr std::chrono::milliseconds out_after{1000};

/// Epochs that a topology that no vote decided is ahead of the last one, at least: more than
/// members that were given up can have decided without it. By chance up to twice as many: two nodes
/// that do so without hearing of each other come to different ones.
inline constexpr uint64_t imposed_epochs = 1'000'000;

/// A node that wants to join: how long a member may take to answer, and the wait between attempts.
inline constexpr std::chrono::milliseconds join_deadline{6000};
inline constexpr std::chrono::milliseconds join_interval{300};

/// How often a joining that fails for one and the same reason is logged.
inline constexpr std::chrono::seconds join_error_interval{30};

/// How long a member may not be reached before the log says why.
inline constexpr std::chrono::seconds absence_worth_a_line{3};

/// Waits between attempts to reach a node.
inline constexpr std::chrono::milliseconds reconnect_min{50};
inline constexpr std::chrono::milliseconds reconnect_max{1000};

/// The largest storage.grace: ten years.
inline constexpr std::chrono::hours grace_max{24 * 3650};

/// storage.sync=interval: how often what was written is made durable.
inline constexpr std::chrono::milliseconds flush_interval{100};

/// Databases of one node.
inline constexpr uint32_t vnodes_max = 4;

/// How far another node's clock may be ahead of this one's.
inline constexpr std::chrono::minutes clock_ahead_max{10};

/// After an unclean stop: records that each such interval counts for exact stats.
inline constexpr size_t counted_per_tick = 5000;

/// A node that stops: how long each client may take for the answers to what it has asked, how long
/// the node waits for the end of all connections, and how long for its storage.
inline constexpr std::chrono::milliseconds drain_deadline{1500};
inline constexpr std::chrono::milliseconds acceptor_deadline{2000};
inline constexpr std::chrono::milliseconds close_deadline{2000};

/// How far ahead of the wall clock the upper bound of the hybrid clock is stored; and how far ahead
/// of the hybrid clock itself where that is ahead of the wall clock already (clock_bound_above).
inline constexpr std::chrono::seconds clock_bound_ahead{2};
inline constexpr std::chrono::milliseconds clock_bound_step{500};

} // namespace kai::limits
