#include "storage/leveldb_engine.hpp"

#include <algorithm>
#include <map>
#include <utility>

#include "protocol/errc.hpp"
#include "storage/leveldb_keys.hpp"
#include "storage/record_codec.hpp"
#include "storage/seal.hpp"

namespace kai {

namespace {

std::string_view view_of(const leveldb::Slice& x) { return {x.data(), x.size()}; }

leveldb::ReadOptions checked_read(bool fill_cache = true) {
  leveldb::ReadOptions result;
  result.verify_checksums = true;
  result.fill_cache = fill_cache;
  return result;
}

leveldb::WriteOptions write_options(bool sync) {
  leveldb::WriteOptions result;
  result.sync = sync;
  return result;
}

} // namespace

leveldb_engine::leveldb_engine(leveldb_engine_options options)
    : options_(std::move(options)), database_(options_) {}

caf::expected<std::unique_ptr<leveldb_engine>>
leveldb_engine::open(leveldb_engine_options options) {
  std::unique_ptr<leveldb_engine> result{new leveldb_engine(std::move(options))};
  auto status = result->start();
  result->settle();
  if (!status.ok())
    return result->failed("cannot be opened: " + status.ToString() +
                          "; check that no other process uses it, its permissions and the disk");
  return result;
}

leveldb::Status leveldb_engine::start() {
  auto status = database_.open();
  started_ = database_.state();
  if (started_ == start_state::emptied)
    log("the database was damaged; it is kept as " + database_.moved_to() +
        ", and this node starts an empty one for the others to refill");
  damaged_ += started_ == start_state::emptied;
  auto notable = database_.notable();
  for (auto& line : notable)
    log(line);
  if (!status.ok())
    return status;
  if (!notable.empty() && started_ == start_state::existing) {
    started_ = start_state::lossy;
    ++damaged_;
  }
  load_counts();
  load_unknown();
  return status;
}

void leveldb_engine::load_counts() {
  std::string bytes;
  auto key = leveldb_keys::counts_key();
  if (database_->Get(checked_read(), key, &bytes).ok()) {
    // Of a log that lost records in its middle the counts at its end know nothing.
    auto loaded = started_ == start_state::lossy ? std::nullopt : record_counts::decoded(bytes);
    loaded ? void(counts_ = *loaded) : counts_.restart();
    // Durable before the first change: a crash must not find counts from before it.
    leveldb::WriteBatch forget;
    forget.Delete(key);
    if (auto status = database_->Write(write_options(true), &forget); !status.ok()) {
      start_failing(status, {});
      undo_.Delete(key);
    }
  } else if (started_ == start_state::existing || started_ == start_state::lossy) {
    counts_.restart();
  }
}

void leveldb_engine::load_unknown() {
  std::unique_ptr<leveldb::Iterator> i{database_->NewIterator(checked_read(false))};
  auto prefix = leveldb_keys::aside_start();
  for (i->Seek(prefix); i->Valid() && i->key().starts_with(prefix); i->Next())
    unknown_.emplace(view_of(i->key()).substr(prefix.size()));
}

leveldb_engine::~leveldb_engine() {
  settle();
  if (!database_.is_open())
    return;
  if (failing_.empty() && counts_.exact())
    // Not stored: then the next start counts.
    static_cast<void>(
        database_->Put(write_options(true), leveldb_keys::counts_key(), counts_.encoded()));
  settle();
}

caf::expected<std::optional<record>> leveldb_engine::read(partition_id partition, area where,
                                                          std::string_view key) {
  if (!database_.is_open())
    return failed(failing_);
  auto db_key = leveldb_keys::record_key(partition, where, key);
  std::string bytes;
  auto status = database_->Get(checked_read(), db_key, &bytes);
  settle();
  if (status.ok()) {
    auto result = unpack_record(partition, where, key, blob::copy_of(bytes));
    if (result)
      return std::optional<record>{std::move(*result)};
    set_aside(partition, db_key, bytes);
    return result.error();
  }
  if (status.IsNotFound()) {
    if (!unknown_.empty() && unknown_.count(db_key) > 0)
      return failure(errc::damaged, "the record was damaged and is set aside");
    return std::optional<record>{};
  }
  if (!status.IsCorruption())
    return failed(status.ToString());
  note_damage(partition, db_key, status.ToString());
  return failure(errc::damaged, status.ToString());
}

caf::error leveldb_engine::write(const write_batch& batch) {
  if (auto err = refuse_while_failing())
    return err;
  auto translated = translate(batch);
  auto status = commit(translated.changes, translated.keys, options_.sync == sync_mode::always);
  if (!status.ok())
    return failed(status.ToString());
  counts_ = std::move(translated.counts);
  if (!unknown_.empty())
    for (auto& key : translated.keys)
      unknown_.erase(key);
  return caf::none;
}

leveldb_engine::translation leveldb_engine::translate(const write_batch& batch) {
  translation result;
  result.counts = counts_;
  std::map<std::string_view, footprint> earlier;
  std::string value;
  result.keys.reserve(batch.entries().size());
  for (auto& change : batch.entries()) {
    auto& key = result.keys.emplace_back(
        leveldb_keys::record_key(change.partition, change.where, change.key.view()));
    value.clear();
    if (change.value) {
      pack_record(value, change.partition, change.where, change.key.view(), *change.value);
      result.changes.Put(key, value);
    } else {
      result.changes.Delete(key);
    }
    if (!unknown_.empty() && unknown_.count(key) > 0)
      result.changes.Delete(leveldb_keys::aside_key(key));
    if (change.where != area::data || !result.counts.reaches(key))
      continue;
    auto before = earlier.find(key);
    auto replaced = change.replaced           ? *change.replaced
                    : before != earlier.end() ? before->second
                                              : stored_footprint(key);
    auto now = change.value ? footprint_of(change.key.view(), *change.value) : footprint{};
    result.counts.count(replaced, -1);
    result.counts.count(now, 1);
    if (batch.entries().size() > 1)
      earlier.insert_or_assign(key, now);
  }
  return result;
}

footprint leveldb_engine::stored_footprint(const std::string& db_key) {
  auto at = leveldb_keys::parse(db_key);
  std::string bytes;
  if (!at || !database_->Get(checked_read(), db_key, &bytes).ok())
    return {};
  auto x = unpack_record(at->partition, at->where, at->key, blob::copy_of(bytes));
  return x ? footprint_of(at->key, *x) : footprint{};
}

leveldb::Status leveldb_engine::commit(leveldb::WriteBatch& changes,
                                       const std::vector<std::string>& keys, bool sync) {
  auto status = database_->Write(write_options(sync), &changes);
  dirty_ = dirty_ || !sync;
  if (!status.ok())
    start_failing(status, keys);
  settle();
  return status;
}

caf::error leveldb_engine::scan(
    partition_id partition, area where, uint64_t from,
    const std::function<bool(uint64_t hash, const blob& key, record&& value)>& visit) {
  if (!database_.is_open())
    return failed(failing_);
  std::vector<std::pair<std::string, std::string>> damaged;
  leveldb::Status status;
  {
    std::unique_ptr<leveldb::Iterator> i{database_->NewIterator(checked_read(false))};
    auto end = leveldb_keys::range_end(partition, where);
    std::optional<uint64_t> stop_after;
    for (i->Seek(leveldb_keys::range_start(partition, where, from)); i->Valid(); i->Next()) {
      auto db_key = view_of(i->key());
      auto at = leveldb_keys::parse(db_key);
      if (db_key >= end || !at || (stop_after && at->hash != *stop_after))
        break;
      auto value = unpack_record(partition, where, at->key, blob::copy_of(view_of(i->value())));
      if (!value)
        damaged.emplace_back(db_key, view_of(i->value()));
      else if (!visit(at->hash, blob::copy_of(at->key), std::move(*value)))
        stop_after = at->hash;
    }
    status = i->status();
  }
  settle();
  for (auto& [key, bytes] : damaged)
    set_aside(partition, key, bytes);
  if (status.IsCorruption())
    note_damaged_block(partition);
  else if (!status.ok())
    return failed(status.ToString());
  return caf::none;
}

caf::expected<std::optional<std::string>> leveldb_engine::read_meta(std::string_view name) {
  if (!database_.is_open())
    return failed(failing_);
  std::string bytes;
  auto status = database_->Get(checked_read(), leveldb_keys::meta_key(name), &bytes);
  settle();
  if (status.IsNotFound())
    return std::optional<std::string>{};
  if (!status.ok() && !status.IsCorruption())
    return failed(status.ToString());
  auto value = status.ok() ? unsealed(name, bytes) : std::nullopt;
  if (!value)
    return failure(errc::damaged, database_.directory() + ": \"" + std::string{name} +
                                      "\" is damaged: " + status.ToString());
  return value;
}

caf::error leveldb_engine::write_meta(std::string_view name, std::string_view value) {
  if (auto err = refuse_while_failing())
    return err;
  leveldb::WriteBatch changes;
  auto key = leveldb_keys::meta_key(name);
  changes.Put(key, sealed(name, value));
  auto status = commit(changes, {key}, true);
  return status.ok() ? caf::error{} : failed(status.ToString());
}

caf::error leveldb_engine::flush() {
  report_notable();
  if (failing_.empty() && options_.sync == sync_mode::interval && dirty_) {
    // An empty batch is a record in the log like any other, so with `sync` LevelDB appends it and
    // syncs the whole log file; the logs before it leveldb_env has synced.
    leveldb::WriteBatch nothing;
    auto status = database_->Write(write_options(true), &nothing);
    if (status.ok() && database_.env().take_failure())
      status = leveldb::Status::IOError(database_.directory(), "a log could not be synced");
    dirty_ = false;
    if (!status.ok())
      start_failing(status, {});
    settle();
    return status.ok() ? caf::error{} : failed(status.ToString());
  }
  return failing_.empty() || recover() ? caf::error{} : failed(failing_);
}

engine_stats leveldb_engine::stats() const {
  engine_stats result;
  counts_.fill(result);
  result.damaged = damaged_;
  return result;
}

bool leveldb_engine::count_some(size_t max_records) {
  if (counts_.exact() || !database_.is_open())
    return counts_.exact();
  {
    std::unique_ptr<leveldb::Iterator> i{database_->NewIterator(checked_read(false))};
    i->Seek(counts_.counted_to());
    for (size_t n = 0; n < max_records; ++n) {
      auto at = i->Valid() ? leveldb_keys::parse(view_of(i->key())) : std::nullopt;
      if (!at) {
        counts_.finish();
        break;
      }
      if (at->where != area::data) {
        // Behind the data of one partition the data of the next is what counts.
        auto next =
            leveldb_keys::range_start(static_cast<partition_id>(at->partition + 1), area::data, 0);
        i->Seek(next);
        counts_.advance(std::move(next));
        continue;
      }
      auto x = unpack_record(at->partition, at->where, at->key, blob::copy_of(view_of(i->value())));
      if (x)
        counts_.count(footprint_of(at->key, *x), 1);
      counts_.advance(i->key().ToString() + '\0');
      i->Next();
    }
  }
  settle();
  return counts_.exact();
}

} // namespace kai
