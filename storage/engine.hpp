#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <caf/expected.hpp>

#include "protocol/hash.hpp"
#include "protocol/version.hpp"

namespace kai {

/// What part of a partition a key belongs to. Values are on disk: never renumber.
enum class area : uint8_t {
  /// Records of clients.
  data = 1,
  /// Leaves of the partition's Merkle tree.
  merkle = 2,
  /// Records kept for a replica that was down.
  hint = 3,
};

/// How sure a write is when `write` returns (storage.sync).
enum class sync_mode : uint8_t { always, interval, never };

/// What a client's record counts for in engine_stats.
struct footprint {
  enum class state : uint8_t { none, tombstone, live };

  state what = state::none;
  /// Of the key and of all values; 0 unless live.
  uint64_t bytes = 0;

  friend bool operator==(const footprint&, const footprint&) = default;
};

/// A record is live when its latest version is no tombstone. An expired one is: engines know no
/// time. The empty record counts as none.
footprint footprint_of(std::string_view key, const record& x);

/// Several changes that take effect together, in order.
class write_batch {
public:
  struct entry {
    partition_id partition;
    area where;
    blob key;
    /// nullopt: remove.
    std::optional<record> value;
    /// What the key counted for before this entry (earlier entries of this batch included), where
    /// the caller has just read it: saves LevelDB a lookup per record. It must be right: the counts
    /// of engine_stats rest on it. nullopt: the engine looks for itself.
    std::optional<footprint> replaced;
  };

  void put(partition_id partition, area where, blob key, record value,
           std::optional<footprint> replaced = std::nullopt) {
    entries_.push_back({partition, where, std::move(key), std::move(value), replaced});
  }
  void remove(partition_id partition, area where, blob key,
              std::optional<footprint> replaced = std::nullopt) {
    entries_.push_back({partition, where, std::move(key), std::nullopt, replaced});
  }
  const std::vector<entry>& entries() const { return entries_; }
  bool empty() const { return entries_.empty(); }
  void clear() { entries_.clear(); }

private:
  std::vector<entry> entries_;
};

struct engine_stats {
  /// Live keys of clients: neither tombstones nor hints. An estimate is not enough: scripts compare
  /// it.
  uint64_t keys = 0;
  uint64_t tombstones = 0;
  /// Bytes of the keys and values counted in `keys`.
  uint64_t bytes = 0;
  /// Records that failed their checksum since the start, and were set aside.
  uint64_t damaged = 0;
  /// Keys that went because of storage.evict=lru.
  uint64_t evicted = 0;
  /// Bytes that storage.memory-limit bounds: items with all their overhead. 0 with LevelDB.
  uint64_t memory = 0;
  /// Whether keys, tombstones and bytes are complete. Not so for a while after a start that no
  /// clean stop preceded: see engine::count_some.
  bool exact = true;
};

/// What an engine tells its owner beside its answers. Called on the owner's thread, from within a
/// call of the engine; must not call the engine.
struct engine_hooks {
  /// A line for the log: damage, a failing disk, its recovery.
  std::function<void(std::string line)> log;
  /// Records of this partition (nullopt: of any) were lost here: damaged, or in a damaged block or
  /// database. The partition's Merkle tree is to be rebuilt from a scan and the partition synced
  /// with its other replicas; for nullopt, what is in meta is to be written again too.
  std::function<void(std::optional<partition_id> partition)> lost;
  /// storage.evict=lru took this record of area::data.
  std::function<void(partition_id partition, const blob& key)> evicted;
};

/// What an engine found when it was made.
enum class start_state : uint8_t {
  /// Nothing was there, as for a new node.
  fresh,
  /// What was written before, but for the last moments that storage.sync allows a crash to take.
  existing,
  /// The same, and LevelDB had to drop damaged parts of its log.
  lossy,
  /// The database was damaged and moved aside, this one is empty: to be refilled by the others.
  emptied,
};

/// Where one vnode keeps its records. Used by one thread at a time. Records are encoded as
/// storage/README.md says (format byte, record, checksum of our own).
///
/// Errors: errc::storage_failed (nothing of the batch took effect, but for a crash before the
/// engine has recovered: then all of it may show; may work later), errc::out_of_memory (memory
/// engine, same), errc::damaged (this record was set aside: treat it as unknown, not as absent; so
/// answered until the key is written or removed).
class engine {
public:
  virtual ~engine() = default;

  /// nullopt: nothing is stored, not even a tombstone.
  virtual caf::expected<std::optional<record>> read(partition_id partition, area where,
                                                    std::string_view key) = 0;

  /// digest_of what `read` finds; 0: nothing. The values are not looked at, and may be damaged
  /// where `read` would notice it.
  virtual caf::expected<uint64_t> digest(partition_id partition, area where, std::string_view key) {
    auto found = read(partition, where, key);
    if (!found)
      return std::move(found.error());
    return *found ? digest_of(key, **found) : 0;
  }

  /// Keys of area::data that are about to be read: an engine may fetch them ahead. By their hashes.
  virtual void expect(std::span<const uint64_t> key_hashes) { static_cast<void>(key_hashes); }

  /// All or nothing; on return durable as storage.sync says.
  virtual caf::error write(const write_batch& batch) = 0;

  /// Calls `visit` for the records of an area of a partition in the order of their keys' hashes,
  /// from the hash `from` on, until it returns false (keys of one hash are always visited
  /// together). That order makes a leaf of a Merkle tree one range and gives a chunked transfer a
  /// cursor that survives writes in between. Damaged records are set aside and passed over. `visit`
  /// must not write.
  virtual caf::error
  scan(partition_id partition, area where, uint64_t from,
       const std::function<bool(uint64_t hash, const blob& key, record&& value)>& visit) = 0;

  /// Small facts about this engine (the clock's bound, votes): durable on return, whatever
  /// storage.sync is. nullopt: never put.
  virtual caf::expected<std::optional<std::string>> read_meta(std::string_view name) = 0;
  virtual caf::error write_meta(std::string_view name, std::string_view value) = 0;

  /// storage.sync=interval: makes what was written so far durable. Called every 100 ms and at the
  /// end, whatever storage.sync is: after a failed write it is also what tries to recover.
  virtual caf::error flush() = 0;

  virtual engine_stats stats() const = 0;

  virtual start_state started() const = 0;

  /// Counts up to `max_records` stored records towards exact stats; true when they are exact. To be
  /// called from idle ticks until then. A millisecond per thousand records, roughly.
  virtual bool count_some(size_t max_records) {
    static_cast<void>(max_records);
    return true;
  }
};

} // namespace kai
