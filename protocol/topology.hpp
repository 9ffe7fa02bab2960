#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <caf/expected.hpp>

#include "protocol/errc.hpp"
#include "protocol/hash.hpp"
#include "protocol/version.hpp"
#include "protocol/wire.hpp"

/// Who owns what. A topology is a value with an epoch; epoch e+1 is decided by a vote among the
/// members of epoch e (paxos.hpp) and only then used. Liveness is no part of it (membership).
namespace kai {

enum class member_state : uint8_t { joining = 1, up, leaving };

/// Index of a member within a topology's list.
using member_index = uint16_t;

struct member {
  /// node.name: unique and stable.
  std::string name;
  /// node.zone; empty: a zone of its own.
  std::string zone;
  /// HOST:PORT for clients, and for nodes and kai-admin.
  std::string memcache_address;
  std::string cluster_address;
  node_id id = 0;
  member_state state = member_state::up;

  friend bool operator==(const member&, const member&) = default;
};

/// Fixed when the cluster is founded.
struct cluster_settings {
  /// Dynamo's N, R, W.
  uint16_t replicas = 3;
  uint16_t read_quorum = 2;
  uint16_t write_quorum = 2;
  uint32_t partitions = 256;

  friend bool operator==(const cluster_settings&, const cluster_settings&) = default;
};

/// Versions with dots at or below the mark are gone (flush_all). One that lies ahead waits.
struct flush_marks {
  timestamp reached = 0;
  timestamp ahead = 0;

  /// The mark that counts at `now`.
  timestamp at(timestamp now) const { return ahead != 0 && ahead <= now ? ahead : reached; }
  friend bool operator==(const flush_marks&, const flush_marks&) = default;
};

/// The replicas of one partition in order of preference: the first live one leads.
using replica_list = std::vector<member_index>;

struct topology {
  /// 0: none yet; 1: as founded.
  uint64_t epoch = 0;
  /// Random, chosen at founding: nodes of different clusters never talk.
  uint64_t cluster_id = 0;
  cluster_settings settings;
  /// Sorted by name.
  std::vector<member> members;
  /// One per partition.
  std::vector<replica_list> replicas;
  flush_marks flushed;

  /// N, R and W cut to the number of members.
  uint16_t replicas_now() const;
  uint16_t read_quorum_now() const;
  uint16_t write_quorum_now() const;

  /// Null: no member has the name.
  const member* find(const std::string& name) const;

  /// All members in the partition's order of preference: its replicas, then the fallbacks, which
  /// are the other members in ring order (in the order in which the following partitions' lists
  /// name them first; those that no list names come last, by index). Walks the ring: where it
  /// matters, ask a `ring` (ring.hpp).
  std::vector<member_index> preference(partition_id partition) const;

  friend bool operator==(const topology&, const topology&) = default;
};

/// Reasons why `x` is no topology: lists of the wrong length, indices out of range, members twice
/// in a list, names not sorted, quorums above N. Nodes refuse to use or store such a one.
caf::error validate(const topology& x);

/// The first topology of a cluster, with one member that owns everything. Not validated: settings
/// and founder come from a configuration whose errors the caller wants to name itself.
topology found(uint64_t cluster_id, const cluster_settings& settings, member founder);

/// `now` with `newcomer` added and the replicas planned anew; it is `up` at once, so this is only
/// for a cluster without data. A newcomer with the name of a member takes that member's place: in
/// the lists too while the zone is the same, else the replicas are planned anew. The epoch is one
/// higher. errc::refused with the reason: the newcomer is not fit to be a member. `now` is valid,
/// else that is the error, here and below.
caf::expected<topology> with_member(const topology& now, member newcomer);

/// `now` without the member `name`, the replicas planned anew, one epoch higher. errc::refused:
/// there is no such member, or none would remain to hold the data.
caf::expected<topology> without_member(const topology& now, const std::string& name);

/// `now` with a flush mark for all dots up to `mark`, one epoch higher. `clock_now` tells whether
/// the mark is reached already: then it counts from now on (and never less than an earlier one),
/// else it waits. A mark that still waited before is replaced either way, as by memcached's
/// flush_all; one whose time has come has done its work and is kept.
topology with_flush(const topology& now, timestamp mark, timestamp clock_now);

/// A format byte, then the fields in their order.
void encode(byte_writer& out, const topology& x);
/// Fails `in` when the bytes are no topology that `validate` accepts.
topology decode_topology(byte_reader& in);

} // namespace kai
