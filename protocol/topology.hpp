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

enum class member_state : uint8_t {
  /// Some partitions are on their way to it.
  joining = 1,
  up,
  /// It hands its partitions over.
  leaving,
  /// It is dead, and others are given its partitions without its help.
  removed,
  /// It is new, and gets partitions once every live member has a connection to it.
  arriving,
};

/// Whether it shall hold partitions.
inline bool stays(member_state x) { return x == member_state::joining || x == member_state::up; }
/// Whether it is on its way out.
inline bool goes(member_state x) {
  return x == member_state::leaving || x == member_state::removed;
}

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

  /// R and W cut to the length of a list.
  size_t read_quorum_of(size_t list) const { return read_quorum < list ? read_quorum : list; }
  size_t write_quorum_of(size_t list) const { return write_quorum < list ? write_quorum : list; }

  friend bool operator==(const cluster_settings&, const cluster_settings&) = default;
};

/// Versions with dots at or below the mark are gone (flush_all). One that lies ahead waits.
struct flush_marks {
  timestamp reached = 0;
  timestamp ahead = 0;

  /// The mark that counts at `now`.
  timestamp at(timestamp now) const { return ahead != 0 && ahead <= now ? ahead : reached; }
  /// The one that waits takes effect within `lead`: another must not take its place.
  bool is_near(timestamp now, timestamp lead) const { return ahead > now && ahead - now <= lead; }
  friend bool operator==(const flush_marks&, const flush_marks&) = default;
};

/// The replicas of one partition in order of preference: the first live one leads.
using replica_list = std::vector<member_index>;

/// A partition on its way from the list in force to another one. Until it is there, what the
/// quorums of the one list promise has to hold in the other, too.
struct partition_move {
  partition_id partition = 0;
  replica_list target;

  friend bool operator==(const partition_move&, const partition_move&) = default;
};

struct topology {
  /// 0: none yet; 1: as founded.
  uint64_t epoch = 0;
  /// Random, chosen at founding: nodes of different clusters never talk.
  uint64_t cluster_id = 0;
  cluster_settings settings;
  /// Sorted by name.
  std::vector<member> members;
  /// One per partition: the list in force.
  std::vector<replica_list> replicas;
  /// By partition.
  std::vector<partition_move> moves;
  /// Per partition the epoch in which its lists, in force or target, last became what they are. Two
  /// nodes agree on who holds a partition exactly when they agree on this.
  std::vector<uint64_t> changed_at;
  flush_marks flushed;

  /// Null: no member has the name.
  const member* find(const std::string& name) const;
  /// Who is reached there by other nodes; null: nobody.
  const member* find_at(const std::string& cluster_address) const;

  /// Null: the partition stays where it is.
  const replica_list* target_of(partition_id partition) const;

  /// Who holds the partition, or shall: the list in force, then the newcomers of the target.
  replica_list holders_of(partition_id partition) const;

  /// For each partition all members in its order of preference, one partition behind the other: who
  /// holds it, then the fallbacks, which are the other members in ring order (in the order in which
  /// the following partitions' lists name them first; those that no list names come last, by index,
  /// and behind them those that are on their way out). Takes a step per partition and member.
  std::vector<member_index> preferences() const;

  friend bool operator==(const topology&, const topology&) = default;
};

/// Reasons why `x` is no topology: lists of the wrong length, indices out of range, members twice
/// in a list, names not sorted, quorums above N. Nodes refuse to use or store such a one.
caf::error validate(const topology& x);

/// The first topology of a cluster, with one member that owns everything. Not validated: settings
/// and founder come from a configuration whose errors the caller wants to name itself.
topology found(uint64_t cluster_id, const cluster_settings& settings, member founder);

/// `now` with a flush mark for all dots up to `mark`, one epoch higher. `clock_now` tells whether
/// the mark is reached already: then it counts from now on (and never less than an earlier one),
/// else it waits. A mark that still waited before is replaced either way, as by memcached's
/// flush_all; one whose time has come has done its work and is kept. Not for a mark that is near:
/// its flush_all was at once, and is being answered.
topology with_flush(const topology& now, timestamp mark, timestamp clock_now);

/// A format byte, then the fields in their order.
void encode(byte_writer& out, const topology& x);
/// Fails `in` when the bytes are no topology that `validate` accepts.
topology decode_topology(byte_reader& in);

} // namespace kai
