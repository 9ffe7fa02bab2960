// The part of leveldb_engine that deals with damage and failure.

#include <utility>

#include "protocol/errc.hpp"
#include "storage/leveldb_engine.hpp"
#include "storage/leveldb_keys.hpp"

namespace kai {

namespace {

/// A vnode that nobody flushes still recovers.
constexpr uint64_t writes_between_attempts = 64;

leveldb::WriteOptions synced() {
  leveldb::WriteOptions result;
  result.sync = true;
  return result;
}

} // namespace

caf::error leveldb_engine::refuse_while_failing() {
  if (failing_.empty())
    return caf::none;
  if (++refused_ % writes_between_attempts == 0 && recover())
    return caf::none;
  return failed(failing_);
}

// LevelDB's append or sync failed: the batch is not in its table in memory, so reads do not see it,
// but all of it may be in the log, and would be there after the next opening.
void leveldb_engine::start_failing(const leveldb::Status& why,
                                   const std::vector<std::string>& keys) {
  failing_ = "writes are refused: " + why.ToString() + "; kai goes on trying by itself";
  tables_damaged_ = why.IsCorruption();
  undo_.Clear();
  for (auto& key : keys) {
    std::string bytes;
    auto status = database_->Get({}, key, &bytes);
    if (status.ok())
      undo_.Put(key, bytes);
    else if (status.IsNotFound())
      undo_.Delete(key);
    if (unknown_.count(key) > 0) {
      auto aside = leveldb_keys::aside_key(key);
      if (database_->Get({}, aside, &bytes).ok())
        undo_.Put(aside, bytes);
    }
  }
  log(failing_);
}

bool leveldb_engine::recover() {
  settle();
  auto status = tables_damaged_ ? database_.replace() : database_.reopen();
  settle();
  if (status.IsCorruption())
    tables_damaged_ = true;
  if (!status.ok())
    return false;
  if (tables_damaged_) {
    // Nothing to take back: what is open now is empty.
    undo_.Clear();
    unknown_.clear();
    // Not zero: a batch under way may still say what it replaces of the old database.
    counts_.restart();
    tables_damaged_ = false;
    ++damaged_;
    log("the database was damaged; it is kept as " + database_.moved_to() +
        ", and this node starts an empty one for the others to refill");
    if (options_.hooks.lost)
      options_.hooks.lost(std::nullopt);
  }
  status = database_->Write(synced(), &undo_);
  settle();
  if (!status.ok())
    return false;
  undo_.Clear();
  failing_.clear();
  damaged_blocks_.clear();
  damage_told_.clear();
  dirty_ = false;
  log("writes work again");
  report_notable();
  return true;
}

// Lines that appear while the database is open tell of background work; those of an opening that
// LevelDB dropped parts of its log.
void leveldb_engine::report_notable() {
  auto dropped = false;
  for (auto& line : database_.notable()) {
    dropped = dropped || line.find("dropping") != std::string::npos;
    log(line);
  }
  if (!dropped)
    return;
  ++damaged_;
  counts_.restart();
  if (options_.hooks.lost)
    options_.hooks.lost(std::nullopt);
}

void leveldb_engine::set_aside(partition_id partition, const std::string& db_key,
                               std::string_view bytes) {
  note_damage(partition, db_key, "a record has a wrong checksum; its bytes are set aside");
  if (!failing_.empty())
    return;
  leveldb::WriteBatch changes;
  changes.Delete(db_key);
  changes.Put(leveldb_keys::aside_key(db_key), {bytes.data(), bytes.size()});
  // Where this fails the record stays where it is, and is found damaged again.
  static_cast<void>(commit(changes, {db_key}, options_.sync == sync_mode::always));
}

void leveldb_engine::note_damage(partition_id partition, const std::string& db_key,
                                 const std::string& what) {
  if (!unknown_.insert(db_key).second)
    return;
  ++damaged_;
  counts_.restart();
  // Of a table that is gone each record would have a line.
  if (damage_told_.insert(partition).second)
    log("partition " + std::to_string(partition) + ": " + what +
        "; more of this partition is counted only");
  if (options_.hooks.lost)
    options_.hooks.lost(partition);
}

void leveldb_engine::note_damaged_block(partition_id partition) {
  if (!damaged_blocks_.insert(partition).second)
    return;
  ++damaged_;
  counts_.restart();
  log("partition " + std::to_string(partition) + ": a block of the database is damaged");
  if (options_.hooks.lost)
    options_.hooks.lost(partition);
}

caf::error leveldb_engine::failed(const std::string& what) const {
  return failure(errc::storage_failed, database_.directory() + ": " + what);
}

void leveldb_engine::settle() const {
  if (options_.settle)
    options_.settle();
}

void leveldb_engine::log(const std::string& line) const {
  if (options_.hooks.log)
    options_.hooks.log(database_.directory() + ": " + line);
}

} // namespace kai
