#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "protocol/errc.hpp"
#include "protocol/hash.hpp"
#include "protocol/mutation.hpp"
#include "protocol/version.hpp"

/// What nodes say to each other about keys. Calls and answers travel in batches: one CAF message
/// per peer and loop turn, whose bytes are those of `encode` (values are slices of the batch on the
/// way in).
namespace kai {

/// The record of a key, or only its digest.
struct read_call {
  bool digest_only = false;
  /// A record of any size is waited for. Between the caller and its peer, never over the wire.
  bool patient = false;
};

/// Merge `value` into what is there.
struct store_call {
  record value;
  /// Refused with errc::contended where a version stands beside it afterwards: the leader decided
  /// without knowing that one, and would take back what another leader has acknowledged.
  bool sole = false;
};

using attempt_ptr = std::shared_ptr<const attempt>;

/// Lead this write: sent to the key's leader by the coordinator a client is connected to.
struct lead_call {
  mutation what;
  /// Not 0: another leader was asked before and may still carry the write out, with a dot up to
  /// this clock. The new dot has to lie above, or the client's next write might not win over the
  /// old one; and what was there before can not be told any more, so the write is a blind one.
  timestamp above = 0;
  /// By the cluster's clock: the leader makes no dot above it, for by then another one may have
  /// been asked. 0: any time.
  timestamp until = 0;
  /// Null: it was not tried before.
  attempt_ptr tried = {};
  /// How long who asks waits for the answer; it is not sent along. 0: lead_deadline_of(what).
  std::chrono::milliseconds patience{0};
};

/// Decide and store in one step: from a leading coordinator to the vnode beside it, never over the
/// wire. A conditional write passes what R replicas hold, merged, as `base`; if the vnode then
/// holds anything else it refuses with errc::contended.
struct apply_call {
  mutation what;
  record base;
  bool conditional = false;
  /// The node is no replica of the key: it makes the version, with nothing to cover, and stores
  /// nothing. What it then keeps are hints like every stand-in's.
  bool stand_in = false;
  /// Refused when the dot would lie above: by then the write may have been done elsewhere, and
  /// newer ones may have followed. 0: any time.
  timestamp until = 0;
  /// The version is made, and remembered, but not stored before a store_call brings it: enough
  /// other replicas have to accept it first. Until then, or until a release_call, no other leader's
  /// decision is accepted here.
  bool hold = false;
  /// Where the attempt has happened (kai::end_of) the write only has to be at W. Else it is decided
  /// anew, above the attempt, so that what may be left of it somewhere is replaced, even where it
  /// changes nothing any more. Where that can not be told the write fails.
  attempt_ptr tried = {};
};

/// The held version with this dot will not be stored. Never over the wire either.
struct release_call {
  dot written;
};

/// A request to one of the node's own services, "topology" for example. Answered with text_answer.
/// "ping" is answered by the gateway itself.
struct service_call {
  std::string service;
  std::string request;
};

/// Keep `value` for the member `target`, which is down and a replica of the key: from the key's
/// leader to a stand-in. Answered with stored_answer.
struct hint_call {
  std::string target;
  record value;
};

/// The leaves of the partition's Merkle tree (protocol/merkle.hpp), unless its root is `root`.
/// Answered with tree_answer. The call has no key.
struct tree_call {
  uint64_t root = 0;
};

/// What a leaf of the partition's tree is made of. Answered with leaf_answer. The call has no key.
struct leaf_call {
  uint16_t leaf = 0;
};

/// Remove some of what is stored of a partition that this node does not hold any more, from this
/// hash on. Within a node only. Answered with drop_answer. The call has no key.
struct drop_call {
  uint64_t from = 0;
};

struct call {
  /// Chosen by the peer that sends it; the answer carries it back.
  uint64_t id = 0;
  partition_id partition = 0;
  blob key;
  std::variant<read_call, store_call, lead_call, apply_call, service_call, hint_call, tree_call,
               leaf_call, drop_call, release_call>
      what;
  /// topology::changed_at of the partition, as the caller knows it: a node that knows another one
  /// refuses (errc::not_owner). So the replicas that make up a quorum all mean the same lists.
  uint64_t changed_at = 0;
};

/// How long whoever makes the call waits for its answer. A node that gets a lead_call later than
/// that after it was sent must not carry it out: the coordinator may have had it done elsewhere,
/// and newer writes may have followed.
std::chrono::milliseconds deadline_of(const call& x);

/// How much longer than usual a call may take that carries so many bytes.
std::chrono::milliseconds extra_for(size_t bytes);

/// The same for the lead_call of such a write.
std::chrono::milliseconds lead_deadline_of(const mutation& x);

/// How long after it was sent a leader may still decide such a write.
std::chrono::milliseconds decide_within(const mutation& x);

/// Answers to read_call. `caught_up` false: the node is no replica of the key, or is recovering;
/// what it has is to be merged, but does not count towards R.
struct record_answer {
  record value;
  bool caught_up = true;
};
struct digest_answer {
  uint64_t digest = 0;
  bool caught_up = true;
};

/// Answer to store_call: the record is in place, as safe as storage.sync says.
struct stored_answer {
  /// See kai::shadowed_by.
  timestamp shadowed_by = 0;
  /// Something that was written with knowledge of the version has taken its place, maybe before the
  /// call came.
  bool replaced = false;
  /// Where the replica has versions beside those of the call: the outline of all; else null.
  std::shared_ptr<const record> siblings;
};

/// Answer to lead_call.
struct lead_answer {
  outcome result;
};

/// Answer to apply_call: what was decided, and the record that the other replicas have to store
/// (empty when the write changes nothing). The leader itself has stored it, or holds it.
struct applied_answer {
  outcome result;
  record value;
  /// See attempt.
  dot base = {};
};

/// Answer to service_call.
struct text_answer {
  std::string text;
};

/// Answer to tree_call.
struct tree_answer {
  /// Empty when the roots are equal.
  std::vector<uint64_t> leaves;
};

/// Answer to leaf_call.
struct leaf_answer {
  struct entry {
    blob key;
    uint64_t digest = 0;
    /// Of the record's newest dot.
    timestamp newest = 0;
    /// See kai::over_since.
    timestamp over_since = 0;

    friend bool operator==(const entry&, const entry&) = default;
  };
  /// In the order of the keys' hashes.
  std::vector<entry> entries;
};

/// Answer to drop_call. `more`: go on at `next`.
struct drop_answer {
  bool more = false;
  uint64_t next = 0;
  uint64_t dropped = 0;
};

/// A call that failed. `unchanged` says that a write certainly did not happen.
struct failed_answer {
  errc reason = errc::peer_down;
  bool unchanged = false;
  std::string message = {};
  /// With errc::not_owner: what the leader had decided already. Else null.
  attempt_ptr tried = {};
};

struct answer {
  /// As in the call.
  uint64_t id = 0;
  std::variant<failed_answer, record_answer, digest_answer, stored_answer, lead_answer,
               applied_answer, text_answer, tree_answer, leaf_answer, drop_answer>
      what;
};

/// What every message between nodes says of its sender.
struct batch_header {
  /// The sender's hybrid clock.
  timestamp clock = 0;
  /// The epoch of the topology that the sender uses.
  uint64_t epoch = 0;
};

struct answer_batch {
  batch_header header;
  std::vector<answer> answers;
};

/// Without calls it asks whether the node is alive: an answer_batch without answers.
struct call_batch {
  batch_header header;
  std::vector<call> calls;
  /// Answers that go the same way: those to calls of which actor of the receiving node, by the
  /// actor's id there; 0: none come along.
  uint64_t answers_for = 0;
  answer_batch answers = {};
};

/// Bytes that a call or an answer takes on its way, about: what limits on bytes in flight count.
size_t size_of(const call& x);
size_t size_of(const answer& x);

void encode(byte_writer& out, const answer_batch& x);
answer_batch decode_answer_batch(byte_reader& in);
void encode(byte_writer& out, const call_batch& x);
call_batch decode_call_batch(byte_reader& in);

/// The first words between two nodes, either way. The gateway's interface and these fields never
/// change; what grows goes into later messages.
struct hello {
  uint32_t protocol = 0;
  /// 0: not a member of any cluster yet, or kai-admin.
  uint64_t cluster_id = 0;
  std::string name;
  node_id id = 0;
  /// Random per start of the process.
  uint64_t incarnation = 0;
  batch_header header;
};

/// Version of the messages between nodes.
inline constexpr uint32_t protocol_version = 7;

void encode(byte_writer& out, const hello& x);
hello decode_hello(byte_reader& in);

caf::error inspect(caf::serializer& sink, call_batch& x);
caf::error inspect(caf::deserializer& source, call_batch& x);
caf::error inspect(caf::serializer& sink, answer_batch& x);
caf::error inspect(caf::deserializer& source, answer_batch& x);
caf::error inspect(caf::serializer& sink, hello& x);
caf::error inspect(caf::deserializer& source, hello& x);

std::string to_string(const call_batch& x);
std::string to_string(const answer_batch& x);
std::string to_string(const hello& x);

} // namespace kai
