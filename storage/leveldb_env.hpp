#pragma once

#include <atomic>
#include <mutex>
#include <string>
#include <vector>

#include <leveldb/env.h>

namespace kai {

/// LevelDB's environment with four changes.
///
/// Syncs a write-ahead log before LevelDB turns to the next one. LevelDB 1.23 does not: a synced
/// write reaches the disk with the log that it is in, while the end of the log before may still be
/// in the page cache only; a crash then loses earlier writes and keeps later ones, and `flush`
/// would promise too much. Costs one fsync per write buffer filled. Also notes when that sync, or
/// the close, fails, which LevelDB would not hear.
///
/// Hands tables to the system in pieces as large as the target's buffer (64 KB on a disk), where
/// LevelDB does it block by block: a system call for each 4 KB that a compaction writes, though
/// nobody reads a table before it has been synced and closed. Has the disk write them meanwhile,
/// 256 KB at a time: else a table's sync at its end has megabytes to write, and a sync of the log
/// waits behind it.
///
/// Reads tables with pread. LevelDB maps them: of a table that was cut short it says then that the
/// disk failed, not that the table is damaged, and a sector that can not be read ends the process.
///
/// Runs background work with a lower priority: where all cores are busy a compaction, which takes a
/// core for as long as it is let, keeps requests waiting for milliseconds. Not much lower: writes
/// wait for compactions in the end.
///
/// May be used by several threads, as LevelDB does.
class leveldb_env final : public leveldb::EnvWrapper {
public:
  leveldb_env(leveldb::Env* target, bool sync_logs) : EnvWrapper(target), sync_logs_(sync_logs) {}

  leveldb::Status NewWritableFile(const std::string& name, leveldb::WritableFile** file) override;
  leveldb::Status NewRandomAccessFile(const std::string& name,
                                      leveldb::RandomAccessFile** file) override;

  void Schedule(void (*function)(void*), void* argument) override;

  /// How much nicer (`man 2 setpriority`) than the process its background work is. On two busy
  /// cores with two processes that only burn time beside, 5 gave 12 % more reads and 25 % more
  /// sets, 10 let a set wait for 100 ms at most in place of 20, and 19 for a second.
  static constexpr int background_niceness = 5;

  /// Whether a log could not be synced when it was left; asking clears it.
  bool take_failure() { return failed_.exchange(false); }
  void note_failure() { failed_ = true; }

private:
  /// The system's files, not a test's.
  bool is_real() const { return target() == leveldb::Env::Default(); }

  bool sync_logs_;
  std::atomic<bool> failed_ = false;
};

/// Keeps the lines of LevelDB's own log that tell of damage or failure, and drops its chatter.
/// May be used by several threads.
class notable_lines final : public leveldb::Logger {
public:
  void Logv(const char* format, std::va_list arguments) override;

  /// The lines since the last call.
  std::vector<std::string> take();

private:
  std::mutex mutex_;
  std::vector<std::string> lines_;
};

} // namespace kai
