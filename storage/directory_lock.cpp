#include "storage/directory_lock.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace kai {

directory_lock::~directory_lock() {
  if (descriptor_ >= 0)
    ::close(descriptor_);
  if (held_)
    env_->UnlockFile(held_);
}

leveldb::Status directory_lock::take(leveldb::Env& env, const std::string& file) {
  env_ = &env;
  if (&env != leveldb::Env::Default())
    return env.LockFile(file, &held_);
  auto descriptor = ::open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  if (descriptor >= 0 && ::flock(descriptor, LOCK_EX | LOCK_NB) == 0) {
    descriptor_ = descriptor;
    return leveldb::Status::OK();
  }
  auto reason = errno;
  if (descriptor >= 0)
    ::close(descriptor);
  return leveldb::Status::IOError(file, reason == EWOULDBLOCK ? "held by another process"
                                                              : std::strerror(reason));
}

} // namespace kai
