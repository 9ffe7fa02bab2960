#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <leveldb/cache.h>
#include <leveldb/db.h>
#include <leveldb/filter_policy.h>

#include "storage/engine.hpp"
#include "storage/leveldb_env.hpp"

namespace kai {

struct leveldb_engine_options {
  /// The database's own; made when missing.
  std::string directory;
  sync_mode sync = sync_mode::interval;
  size_t block_cache_bytes = 8 * 1024 * 1024;
  /// A log and the table in memory it stands for. A start replays up to this much.
  size_t write_buffer_bytes = 8 * 1024 * 1024;
  /// null: the machine's files. Must outlive the engine.
  leveldb::Env* env = nullptr;
  /// Called after each operation: an environment without threads runs LevelDB's background work
  /// there.
  std::function<void()> settle;
  engine_hooks hooks;
};

/// An open LevelDB database and what it needs around it. Knows how to open one that may be damaged,
/// and how to open one again after LevelDB has given up writing: it keeps the first error of its
/// background work until it is closed, and after a failed append its log may be torn.
class leveldb_database {
public:
  explicit leveldb_database(const leveldb_engine_options& options);
  ~leveldb_database();

  /// Opens the directory. One that is damaged is moved aside (DIRECTORY.damaged-1, ...).
  leveldb::Status open();

  /// Closes and opens again, once there is room for it: LevelDB turns its log into a table then.
  /// Without room the database stays open, for reads. Not OK: `is_open` may be false.
  leveldb::Status reopen();

  /// Moves the directory aside and opens an empty one. Not OK: to be called again, which goes on
  /// where it failed.
  leveldb::Status replace();

  bool is_open() const { return db_ != nullptr; }
  leveldb::DB* operator->() { return db_.get(); }
  start_state state() const { return state_; }
  leveldb_env& env() { return env_; }
  const std::string& directory() const { return directory_; }

  /// Where the last damaged directory went; empty if none did.
  const std::string& moved_to() const { return moved_to_; }

  /// What LevelDB had to say of damage and failure since the last call.
  std::vector<std::string> notable() { return notable_.take(); }

private:
  leveldb::Status open_existing();
  leveldb::Status move_aside();
  leveldb::Status has_room();
  bool lost_its_head();
  uint64_t log_bytes();

  std::string directory_;
  leveldb_env env_;
  notable_lines notable_;
  std::unique_ptr<leveldb::Cache> cache_;
  std::unique_ptr<const leveldb::FilterPolicy> filter_;
  leveldb::Options options_;
  std::unique_ptr<leveldb::DB> db_;
  std::string moved_to_;
  /// The damaged directory is aside, and the one in its place could not be opened yet.
  bool replacing_ = false;
  start_state state_ = start_state::existing;
};

} // namespace kai
