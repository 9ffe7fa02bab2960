#include "storage/leveldb_database.hpp"

#include <algorithm>

namespace kai {

namespace {

constexpr int bloom_bits_per_key = 10;

/// Free space beyond the log's size that reopening asks for: the manifest and a new log.
constexpr uint64_t spare_bytes = 1024 * 1024;

bool says_damaged(const leveldb::Status& x) {
  // Not found: CURRENT names a manifest that is not there. Invalid argument: the manifest names
  // another key order. Both can only be damage, as missing directories are made.
  return x.IsCorruption() || x.IsNotFound() || x.IsInvalidArgument();
}

} // namespace

leveldb_database::leveldb_database(const leveldb_engine_options& options)
    : directory_(options.directory),
      env_(options.env ? options.env : leveldb::Env::Default(), options.sync != sync_mode::never),
      cache_(leveldb::NewLRUCache(options.block_cache_bytes)),
      filter_(leveldb::NewBloomFilterPolicy(bloom_bits_per_key)) {
  options_.create_if_missing = true;
  // Not paranoid: a crash may leave garbage at a log's end, and a compaction that meets a damaged
  // block had better go on, as our own checksums notice what came of it.
  options_.paranoid_checks = false;
  options_.env = &env_;
  options_.info_log = &notable_;
  options_.write_buffer_size = options.write_buffer_bytes;
  options_.block_cache = cache_.get();
  options_.filter_policy = filter_.get();
}

leveldb_database::~leveldb_database() = default;

leveldb::Status leveldb_database::open() {
  if (lost_its_head())
    return replace();
  auto status = open_existing();
  return says_damaged(status) ? replace() : status;
}

leveldb::Status leveldb_database::open_existing() {
  auto existed = env_.FileExists(directory_ + "/CURRENT");
  db_.reset();
  leveldb::DB* db = nullptr;
  auto status = leveldb::DB::Open(options_, directory_, &db);
  db_.reset(db);
  state_ = existed ? start_state::existing : start_state::fresh;
  return status;
}

leveldb::Status leveldb_database::replace() {
  db_.reset();
  auto holds_something = env_.FileExists(directory_ + "/CURRENT") || lost_its_head();
  if (!replacing_ && holds_something)
    if (auto status = move_aside(); !status.ok())
      return status;
  auto status = open_existing();
  // The new one may be damaged in its turn.
  replacing_ = !status.ok() && !says_damaged(status);
  state_ = start_state::emptied;
  return status;
}

leveldb::Status leveldb_database::move_aside() {
  for (int i = 1;; ++i) {
    auto target = directory_ + ".damaged-" + std::to_string(i);
    if (env_.FileExists(target))
      continue;
    auto status = env_.RenameFile(directory_, target);
    if (status.ok())
      moved_to_ = target;
    return status;
  }
}

// LevelDB takes a directory without CURRENT for a new one and removes the files of the old.
bool leveldb_database::lost_its_head() {
  std::vector<std::string> names;
  if (env_.FileExists(directory_ + "/CURRENT") || !env_.GetChildren(directory_, &names).ok())
    return false;
  return std::any_of(names.begin(), names.end(), [](const std::string& name) {
    return name.ends_with(".ldb") || name.ends_with(".sst") || name.ends_with(".log");
  });
}

leveldb::Status leveldb_database::reopen() {
  if (auto status = has_room(); !status.ok())
    return status;
  auto before = state_;
  auto status = open_existing();
  state_ = before;
  env_.take_failure();
  return status;
}

// Asks the disk by writing: the environment has no other way.
leveldb::Status leveldb_database::has_room() {
  auto name = directory_ + "/room.tmp";
  leveldb::WritableFile* made = nullptr;
  auto status = env_.NewWritableFile(name, &made);
  if (!status.ok())
    return status;
  {
    std::unique_ptr<leveldb::WritableFile> file{made};
    std::string chunk(64 * 1024, '\0');
    for (uint64_t left = log_bytes() + spare_bytes; left > 0 && status.ok();) {
      auto n = std::min<uint64_t>(left, chunk.size());
      status = file->Append({chunk.data(), static_cast<size_t>(n)});
      left -= n;
    }
    if (status.ok())
      status = file->Sync();
    auto closed = file->Close();
    if (status.ok())
      status = closed;
  }
  env_.RemoveFile(name);
  return status;
}

uint64_t leveldb_database::log_bytes() {
  std::vector<std::string> names;
  env_.GetChildren(directory_, &names);
  uint64_t result = 0;
  for (auto& name : names) {
    uint64_t size = 0;
    if (name.ends_with(".log") && env_.GetFileSize(directory_ + "/" + name, &size).ok())
      result += size;
  }
  return result;
}

} // namespace kai
