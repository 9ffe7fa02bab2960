#include "test/support/memory_env.hpp"

#include <algorithm>
#include <cstring>
#include <random>

namespace kai::test {

using leveldb::Slice;
using leveldb::Status;

namespace {

Status missing(const std::string& name) { return Status::NotFound(name, "no such file"); }
Status crashed(const std::string& name) { return Status::IOError(name, "the machine crashed"); }

/// Copies, as the file may change under the reader.
Status copy_part(const std::string& bytes, uint64_t offset, size_t n, Slice* result,
                 char* scratch) {
  auto start = std::min<uint64_t>(offset, bytes.size());
  auto size = std::min<uint64_t>(n, bytes.size() - start);
  std::memcpy(scratch, bytes.data() + start, size);
  *result = Slice{scratch, static_cast<size_t>(size)};
  return Status::OK();
}

class silent_logger final : public leveldb::Logger {
public:
  void Logv(const char*, std::va_list) override {}
};

} // namespace

class memory_env::reader final : public leveldb::SequentialFile {
public:
  explicit reader(std::shared_ptr<file> from) : from_(std::move(from)) {}

  Status Read(size_t n, Slice* result, char* scratch) override {
    auto status = copy_part(from_->bytes, at_, n, result, scratch);
    at_ += result->size();
    return status;
  }

  Status Skip(uint64_t n) override {
    at_ = std::min<uint64_t>(at_ + n, from_->bytes.size());
    return Status::OK();
  }

private:
  std::shared_ptr<file> from_;
  uint64_t at_ = 0;
};

class memory_env::random_reader final : public leveldb::RandomAccessFile {
public:
  explicit random_reader(std::shared_ptr<file> from) : from_(std::move(from)) {}

  Status Read(uint64_t offset, size_t n, Slice* result, char* scratch) const override {
    return copy_part(from_->bytes, offset, n, result, scratch);
  }

private:
  std::shared_ptr<file> from_;
};

class memory_env::writer final : public leveldb::WritableFile {
public:
  writer(memory_env& env, std::string name, std::shared_ptr<file> to)
      : env_(env), name_(std::move(name)), to_(std::move(to)), life_(env.life_) {}

  Status Append(const Slice& data) override {
    return life_ == env_.life_ ? env_.append(*to_, name_, data) : crashed(name_);
  }

  Status Sync() override {
    if (life_ != env_.life_)
      return crashed(name_);
    if (env_.fail_syncs_)
      return Status::IOError(name_, "sync failed");
    if (auto status = env_.may_write(name_); !status.ok())
      return status;
    ++env_.syncs_;
    to_->synced = to_->bytes.size();
    return Status::OK();
  }

  Status Close() override { return Status::OK(); }
  Status Flush() override { return Status::OK(); }

private:
  memory_env& env_;
  std::string name_;
  std::shared_ptr<file> to_;
  uint64_t life_;
};

class memory_env::lock final : public leveldb::FileLock {
public:
  lock(std::string file, uint64_t since) : name(std::move(file)), life(since) {}
  std::string name;
  uint64_t life;
};

memory_env::memory_env() = default;
memory_env::~memory_env() = default;

void memory_env::power_off() {
  ++life_;
  off_ = true;
  locks_.clear();
}

void memory_env::crash() {
  power_off();
  // Copies: who still reads a file of before must not see it change.
  for (auto& [name, x] : files_)
    x = std::make_shared<file>(file{x->bytes.substr(0, x->synced), x->synced});
}

void memory_env::crash_torn(uint64_t seed) {
  power_off();
  std::mt19937_64 random{seed};
  for (auto& [name, x] : files_) {
    auto unsynced = x->bytes.size() - x->synced;
    auto bytes = x->bytes.substr(0, x->synced + (unsynced ? random() % (unsynced + 1) : 0));
    auto kept = bytes.size() - x->synced;
    if (kept > 0 && random() % 4 == 0)
      bytes[bytes.size() - 1 - random() % std::min<size_t>(kept, 16)] ^=
          static_cast<char>(1 << random() % 8);
    auto size = bytes.size();
    x = std::make_shared<file>(file{std::move(bytes), size});
  }
}

void memory_env::run_scheduled() {
  while (!scheduled_.empty()) {
    auto [function, argument] = scheduled_.front();
    scheduled_.pop_front();
    function(argument);
  }
}

uint64_t memory_env::used() const {
  uint64_t result = 0;
  for (auto& [name, x] : files_)
    result += x->bytes.size();
  return result;
}

std::vector<std::string> memory_env::names() const {
  std::vector<std::string> result;
  for (auto& [name, x] : files_)
    result.push_back(name);
  return result;
}

std::string memory_env::contents(const std::string& name) const { return files_.at(name)->bytes; }

void memory_env::overwrite(const std::string& name, std::string bytes) {
  auto size = bytes.size();
  files_[name] = std::make_shared<file>(file{std::move(bytes), size});
}

void memory_env::flip_bit(const std::string& name, uint64_t bit) {
  files_.at(name)->bytes.at(bit / 8) ^= static_cast<char>(1 << bit % 8);
}

uint64_t memory_env::unsynced_bytes() const {
  uint64_t result = 0;
  for (auto& [name, x] : files_)
    result += x->bytes.size() - x->synced;
  return result;
}

Status memory_env::may_write(const std::string& name) const {
  if (off_)
    return crashed(name);
  return fail_writes_ ? Status::IOError(name, "write failed") : Status::OK();
}

Status memory_env::append(file& to, const std::string& name, const Slice& bytes) {
  if (auto status = may_write(name); !status.ok())
    return status;
  auto room = bytes.size();
  if (capacity_ > 0) {
    auto full = used();
    room = std::min<uint64_t>(room, capacity_ > full ? capacity_ - full : 0);
  }
  to.bytes.append(bytes.data(), room);
  return room == bytes.size() ? Status::OK() : Status::IOError(name, "No space left on device");
}

Status memory_env::NewSequentialFile(const std::string& name, leveldb::SequentialFile** result) {
  *result = nullptr;
  auto i = files_.find(name);
  if (i == files_.end())
    return missing(name);
  *result = new reader{i->second};
  return Status::OK();
}

Status memory_env::NewRandomAccessFile(const std::string& name,
                                       leveldb::RandomAccessFile** result) {
  *result = nullptr;
  auto i = files_.find(name);
  if (i == files_.end())
    return missing(name);
  *result = new random_reader{i->second};
  return Status::OK();
}

Status memory_env::NewWritableFile(const std::string& name, leveldb::WritableFile** result) {
  *result = nullptr;
  if (auto status = may_write(name); !status.ok())
    return status;
  auto made = std::make_shared<file>();
  files_[name] = made;
  *result = new writer{*this, name, std::move(made)};
  return Status::OK();
}

Status memory_env::NewAppendableFile(const std::string& name, leveldb::WritableFile** result) {
  auto i = files_.find(name);
  if (i == files_.end())
    return NewWritableFile(name, result);
  *result = new writer{*this, name, i->second};
  return Status::OK();
}

bool memory_env::FileExists(const std::string& name) {
  return files_.count(name) > 0 || directories_.count(name) > 0;
}

Status memory_env::GetChildren(const std::string& directory, std::vector<std::string>* names) {
  names->clear();
  if (directories_.count(directory) == 0)
    return missing(directory);
  auto prefix = directory.ends_with('/') ? directory : directory + "/";
  auto add = [&](const std::string& name) {
    if (name.size() > prefix.size() && name.starts_with(prefix) &&
        name.find('/', prefix.size()) == std::string::npos)
      names->push_back(name.substr(prefix.size()));
  };
  for (auto& [name, x] : files_)
    add(name);
  for (auto& name : directories_)
    add(name);
  return Status::OK();
}

Status memory_env::RemoveFile(const std::string& name) {
  if (off_)
    return crashed(name);
  return files_.erase(name) > 0 ? Status::OK() : missing(name);
}

Status memory_env::CreateDir(const std::string& name) {
  if (auto status = may_write(name); !status.ok())
    return status;
  if (FileExists(name))
    return Status::IOError(name, "exists already");
  directories_.insert(name);
  return Status::OK();
}

Status memory_env::RemoveDir(const std::string& name) {
  if (off_)
    return crashed(name);
  std::vector<std::string> children;
  if (auto status = GetChildren(name, &children); !status.ok())
    return status;
  if (!children.empty())
    return Status::IOError(name, "directory not empty");
  directories_.erase(name);
  return Status::OK();
}

Status memory_env::GetFileSize(const std::string& name, uint64_t* size) {
  auto i = files_.find(name);
  *size = i == files_.end() ? 0 : i->second->bytes.size();
  return i == files_.end() ? missing(name) : Status::OK();
}

Status memory_env::RenameFile(const std::string& from, const std::string& to) {
  if (auto status = may_write(from); !status.ok())
    return status;
  if (std::exchange(fail_after_rename_, false))
    fail_writes_ = true;
  if (auto i = files_.find(from); i != files_.end()) {
    files_[to] = i->second;
    files_.erase(from);
    return Status::OK();
  }
  if (directories_.erase(from) == 0)
    return missing(from);
  directories_.insert(to);
  for (auto& name : names())
    if (name.starts_with(from + "/")) {
      files_[to + name.substr(from.size())] = files_.at(name);
      files_.erase(name);
    }
  return Status::OK();
}

Status memory_env::LockFile(const std::string& name, leveldb::FileLock** result) {
  *result = nullptr;
  if (files_.count(name) == 0) {
    if (auto status = may_write(name); !status.ok())
      return status;
    files_[name] = std::make_shared<file>();
  }
  if (!locks_.insert(name).second)
    return Status::IOError("lock " + name, "already held");
  *result = new lock{name, life_};
  return Status::OK();
}

Status memory_env::UnlockFile(leveldb::FileLock* held) {
  std::unique_ptr<lock> owner{static_cast<lock*>(held)};
  if (owner->life == life_)
    locks_.erase(owner->name);
  return Status::OK();
}

void memory_env::Schedule(void (*function)(void*), void* argument) {
  scheduled_.emplace_back(function, argument);
}

void memory_env::StartThread(void (*function)(void*), void* argument) { function(argument); }

Status memory_env::GetTestDirectory(std::string* path) {
  *path = "/test";
  return Status::OK();
}

Status memory_env::NewLogger(const std::string&, leveldb::Logger** logger) {
  *logger = new silent_logger;
  return Status::OK();
}

} // namespace kai::test
