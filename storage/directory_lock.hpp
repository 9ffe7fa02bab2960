#pragma once

#include <string>

#include <leveldb/env.h>

namespace kai {

/// A lock on a file that at most one holder has, in this process and all others, until it is
/// destroyed or its process ends.
///
/// flock(2) on the machine's files, not LevelDB's own lock: that one is an fcntl(2) lock, which a
/// second attempt within the process takes away from the first when it closes its descriptor.
class directory_lock {
public:
  directory_lock() = default;
  ~directory_lock();
  directory_lock(const directory_lock&) = delete;
  directory_lock& operator=(const directory_lock&) = delete;

  /// Not OK: somebody holds it, or the file cannot be made.
  leveldb::Status take(leveldb::Env& env, const std::string& file);

private:
  leveldb::Env* env_ = nullptr;
  leveldb::FileLock* held_ = nullptr;
  int descriptor_ = -1;
};

} // namespace kai
