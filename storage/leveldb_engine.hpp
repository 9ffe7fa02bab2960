#pragma once

#include <memory>
#include <set>
#include <vector>

#include <leveldb/write_batch.h>

#include "storage/engine.hpp"
#include "storage/leveldb_database.hpp"
#include "storage/record_counts.hpp"

namespace kai {

/// One vnode's records in one LevelDB database. Keys as leveldb_keys.hpp says, values as
/// record_codec.hpp says. One `write` is one LevelDB write.
///
/// After a failed write the engine is `failing`: reads go on, writes are refused, and every `flush`
/// and every 64th write tries to recover: it waits for room on the disk, opens the database again
/// (see leveldb_database), and takes back what may have reached the log of the write that failed.
/// Where LevelDB found its tables damaged while it compacted them, it never writes again; then the
/// database is moved aside and the node refills the empty one.
class leveldb_engine final : public engine {
public:
  /// errc::storage_failed when the database cannot be opened (in use, no permission, disk full).
  static caf::expected<std::unique_ptr<leveldb_engine>> open(leveldb_engine_options options);

  /// Makes everything durable, but for storage.sync=never, and keeps the counts for the next start.
  ~leveldb_engine() override;

  caf::expected<std::optional<record>> read(partition_id partition, area where,
                                            std::string_view key) override;
  caf::error write(const write_batch& batch) override;
  caf::error
  scan(partition_id partition, area where, uint64_t from,
       const std::function<bool(uint64_t hash, const blob& key, record&& value)>& visit) override;
  caf::expected<std::optional<std::string>> read_meta(std::string_view name) override;
  caf::error write_meta(std::string_view name, std::string_view value) override;
  caf::error flush() override;
  engine_stats stats() const override;
  start_state started() const override { return started_; }
  bool count_some(size_t max_records) override;

private:
  /// A batch in LevelDB's terms, and what holds once it is written.
  struct translation {
    leveldb::WriteBatch changes;
    std::vector<std::string> keys;
    record_counts counts;
  };

  explicit leveldb_engine(leveldb_engine_options options);

  leveldb::Status start();
  void load_counts();
  void load_unknown();

  translation translate(const write_batch& batch);
  footprint stored_footprint(const std::string& db_key);
  leveldb::Status commit(leveldb::WriteBatch& changes, const std::vector<std::string>& keys,
                         bool sync);

  caf::error refuse_while_failing();
  void start_failing(const leveldb::Status& why, const std::vector<std::string>& keys);
  bool recover();
  void report_notable();

  void set_aside(partition_id partition, const std::string& db_key, std::string_view bytes);
  void note_damage(partition_id partition, const std::string& db_key, const std::string& what);
  void note_damaged_block(partition_id partition);
  caf::error failed(const std::string& what) const;
  void settle() const;
  void log(const std::string& line) const;

  leveldb_engine_options options_;
  leveldb_database database_;
  start_state started_ = start_state::fresh;
  record_counts counts_;
  uint64_t damaged_ = 0;
  /// Database keys of damaged records: unknown until written or removed.
  std::set<std::string, std::less<>> unknown_;
  /// Partitions whose damaged blocks were reported: each scan meets them again.
  std::set<partition_id> damaged_blocks_;
  /// Partitions of which a damaged record was logged.
  std::set<partition_id> damage_told_;

  /// Written since the last sync.
  bool dirty_ = false;
  /// Why writes are refused; empty while they are not.
  std::string failing_;
  bool tables_damaged_ = false;
  uint64_t refused_ = 0;
  /// Brings the keys of the write that failed back to what they were.
  leveldb::WriteBatch undo_;
};

} // namespace kai
