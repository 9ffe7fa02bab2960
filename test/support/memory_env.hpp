#pragma once

#include <deque>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include <leveldb/env.h>

namespace kai::test {

/// A disk in memory for LevelDB and for node_directory: deterministic, knows what was synced, and
/// fails on demand. One per simulated machine; one thread uses it.
///
/// What a crash takes: the bytes of a file behind its last sync. Creating, renaming and removing
/// files is durable at once, as on a file system with an ordered journal.
///
/// LevelDB schedules its background work with its mutex held and waits for it on a condition
/// variable, so it can neither run inside `Schedule` nor wait for a second thread of ours without
/// making runs differ. Instead it queues up until `run_scheduled`, which the engine calls after
/// each operation (leveldb_engine_options::settle). No operation waits for background work then: it
/// would take two full write buffers in one write, or twelve tables at level 0, and both are gone
/// after each operation. Who opens a leveldb::DB here without an engine calls run_scheduled
/// likewise, and before it deletes the DB.
class memory_env final : public leveldb::Env {
public:
  memory_env();
  ~memory_env() override;

  /// The machine loses power: unsynced bytes are gone, locks are free, what was open fails for
  /// ever, and nothing can be changed until `power_on`. Destroy the engines and directories on it,
  /// turn it on, and open new ones.
  void crash();

  /// The same, but of each file's unsynced bytes a random part remains, its last bits flipped at
  /// times.
  void crash_torn(uint64_t seed);

  void power_on() { off_ = false; }

  /// Runs LevelDB's background work until there is none.
  void run_scheduled();

  /// Everything that would change the disk fails, removing excepted.
  void fail_writes(bool on) { fail_writes_ = on; }
  /// The same, as soon as something has been renamed.
  void fail_writes_after_rename() { fail_after_rename_ = true; }
  void fail_syncs(bool on) { fail_syncs_ = on; }
  /// Bytes that fit; an append that does not writes the part that does. 0: no limit.
  void capacity(uint64_t bytes) { capacity_ = bytes; }
  uint64_t used() const;

  std::vector<std::string> names() const;
  std::string contents(const std::string& name) const;
  void overwrite(const std::string& name, std::string bytes);
  void flip_bit(const std::string& name, uint64_t bit);
  uint64_t unsynced_bytes() const;
  uint64_t syncs() const { return syncs_; }

  leveldb::Status NewSequentialFile(const std::string& name,
                                    leveldb::SequentialFile** file) override;
  leveldb::Status NewRandomAccessFile(const std::string& name,
                                      leveldb::RandomAccessFile** file) override;
  leveldb::Status NewWritableFile(const std::string& name, leveldb::WritableFile** file) override;
  leveldb::Status NewAppendableFile(const std::string& name, leveldb::WritableFile** file) override;
  bool FileExists(const std::string& name) override;
  leveldb::Status GetChildren(const std::string& directory,
                              std::vector<std::string>* names) override;
  leveldb::Status RemoveFile(const std::string& name) override;
  leveldb::Status CreateDir(const std::string& name) override;
  leveldb::Status RemoveDir(const std::string& name) override;
  leveldb::Status GetFileSize(const std::string& name, uint64_t* size) override;
  leveldb::Status RenameFile(const std::string& from, const std::string& to) override;
  leveldb::Status LockFile(const std::string& name, leveldb::FileLock** lock) override;
  leveldb::Status UnlockFile(leveldb::FileLock* lock) override;
  void Schedule(void (*function)(void*), void* argument) override;
  void StartThread(void (*function)(void*), void* argument) override;
  leveldb::Status GetTestDirectory(std::string* path) override;
  leveldb::Status NewLogger(const std::string& name, leveldb::Logger** logger) override;
  uint64_t NowMicros() override { return ++now_; }
  void SleepForMicroseconds(int micros) override { now_ += static_cast<uint64_t>(micros); }

private:
  struct file {
    std::string bytes;
    size_t synced = 0;
  };
  class reader;
  class random_reader;
  class writer;
  class lock;

  leveldb::Status may_write(const std::string& name) const;
  leveldb::Status append(file& to, const std::string& name, const leveldb::Slice& bytes);
  void power_off();

  std::map<std::string, std::shared_ptr<file>> files_;
  std::set<std::string> directories_{"", "/"};
  std::set<std::string> locks_;
  std::deque<std::pair<void (*)(void*), void*>> scheduled_;
  /// Counts crashes: what was opened before the last one is dead.
  uint64_t life_ = 0;
  uint64_t now_ = 0;
  uint64_t syncs_ = 0;
  uint64_t capacity_ = 0;
  bool off_ = false;
  bool fail_writes_ = false;
  bool fail_after_rename_ = false;
  bool fail_syncs_ = false;
};

} // namespace kai::test
