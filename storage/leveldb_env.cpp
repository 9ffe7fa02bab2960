#include "storage/leveldb_env.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>
#include <string_view>
#include <utility>

#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

namespace kai {

namespace {

/// Lines kept between two calls of notable_lines::take: LevelDB repeats itself when a disk fails.
constexpr size_t lines_max = 32;

class log_file final : public leveldb::WritableFile {
public:
  log_file(leveldb_env& env, leveldb::WritableFile* target) : env_(env), target_(target) {}

  ~log_file() override {
    if (dirty_ && !target_->Sync().ok())
      env_.note_failure();
  }

  leveldb::Status Append(const leveldb::Slice& data) override {
    dirty_ = true;
    return target_->Append(data);
  }

  leveldb::Status Close() override {
    auto status = dirty_ ? Sync() : leveldb::Status::OK();
    auto closed = target_->Close();
    return status.ok() ? closed : status;
  }

  leveldb::Status Flush() override { return target_->Flush(); }

  leveldb::Status Sync() override {
    auto status = target_->Sync();
    dirty_ = dirty_ && !status.ok();
    return status;
  }

private:
  leveldb_env& env_;
  std::unique_ptr<leveldb::WritableFile> target_;
  bool dirty_ = false;
};

class table_file final : public leveldb::WritableFile {
public:
  /// `name`: of one of the system's files, else empty.
  table_file(leveldb::WritableFile* target, const std::string& name)
      : target_(target), fd_(name.empty() ? -1 : ::open(name.c_str(), O_WRONLY | O_CLOEXEC)) {}

  ~table_file() override {
    if (fd_ >= 0)
      ::close(fd_);
  }

  leveldb::Status Append(const leveldb::Slice& data) override {
    auto status = target_->Append(data);
    appended_ += data.size();
    for (; fd_ >= 0 && appended_ >= begun_ + write_back_bytes + target_buffer_bytes;
         begun_ += write_back_bytes)
      // Only asks: Sync waits, and hears of failures.
      ::sync_file_range(fd_, static_cast<off64_t>(begun_), write_back_bytes, SYNC_FILE_RANGE_WRITE);
    return status;
  }

  leveldb::Status Close() override { return target_->Close(); }
  leveldb::Status Flush() override { return leveldb::Status::OK(); }
  leveldb::Status Sync() override { return target_->Sync(); }

private:
  static constexpr size_t write_back_bytes = 256 * 1024;
  /// The system may not have so many of the last bytes appended.
  static constexpr size_t target_buffer_bytes = 64 * 1024;

  std::unique_ptr<leveldb::WritableFile> target_;
  /// -1: the system decides when it writes.
  int fd_;
  size_t appended_ = 0;
  /// The disk was asked to write what is before.
  size_t begun_ = 0;
};

leveldb::Status failed(const std::string& name) {
  return leveldb::Status::IOError(name, std::strerror(errno));
}

/// How many tables may be kept open, in the whole process; others are opened for each read. As
/// many as LevelDB takes itself.
size_t tables_open_max() {
  rlimit limit{};
  constexpr size_t most = 1000;
  return getrlimit(RLIMIT_NOFILE, &limit) == 0 ? std::min<size_t>(limit.rlim_cur / 5, most) : 0;
}

std::atomic<size_t> tables_open{0};

class table_reader final : public leveldb::RandomAccessFile {
public:
  static leveldb::Status open(const std::string& name, leveldb::RandomAccessFile** file) {
    auto fd = ::open(name.c_str(), O_RDONLY | O_CLOEXEC);
    if (fd < 0)
      return errno == ENOENT ? leveldb::Status::NotFound(name, std::strerror(errno)) : failed(name);
    static const auto most = tables_open_max();
    if (++tables_open > most) {
      --tables_open;
      ::close(fd);
      fd = -1;
    }
    *file = new table_reader{name, fd};
    return {};
  }

  ~table_reader() override {
    if (fd_ < 0)
      return;
    ::close(fd_);
    --tables_open;
  }

  // What is not there is less than was asked for, which LevelDB takes for damage.
  leveldb::Status Read(uint64_t offset, size_t n, leveldb::Slice* result,
                       char* scratch) const override {
    auto fd = fd_ < 0 ? ::open(name_.c_str(), O_RDONLY | O_CLOEXEC) : fd_;
    if (fd < 0)
      return failed(name_);
    size_t got = 0;
    ssize_t last = 1;
    while (got < n && last != 0) {
      last = ::pread(fd, scratch + got, n - got, static_cast<off_t>(offset + got));
      if (last < 0 && errno != EINTR)
        break;
      got += last > 0 ? static_cast<size_t>(last) : 0;
    }
    auto status = last < 0 ? failed(name_) : leveldb::Status{};
    if (fd_ < 0)
      ::close(fd);
    *result = {scratch, got};
    return status;
  }

private:
  table_reader(std::string name, int fd) : name_(std::move(name)), fd_(fd) {}

  std::string name_;
  /// -1: opened for each read.
  int fd_;
};

} // namespace

leveldb::Status leveldb_env::NewRandomAccessFile(const std::string& name,
                                                 leveldb::RandomAccessFile** file) {
  return is_real() && name.ends_with(".ldb") ? table_reader::open(name, file)
                                             : EnvWrapper::NewRandomAccessFile(name, file);
}

leveldb::Status leveldb_env::NewWritableFile(const std::string& name,
                                             leveldb::WritableFile** file) {
  auto status = EnvWrapper::NewWritableFile(name, file);
  if (!status.ok())
    return status;
  if (sync_logs_ && name.ends_with(".log"))
    *file = new log_file{*this, *file};
  else if (name.ends_with(".ldb"))
    *file = new table_file{*file, is_real() ? name : ""};
  return status;
}

void leveldb_env::Schedule(void (*function)(void*), void* argument) {
  if (!is_real())
    return EnvWrapper::Schedule(function, argument);
  struct work {
    void (*function)(void*);
    void* argument;
  };
  auto run = [](void* x) {
    std::unique_ptr<work> what{static_cast<work*>(x)};
    // LevelDB has one thread for it, which it starts itself. Where the system refuses nothing is
    // lost.
    thread_local auto lowered =
        ::setpriority(PRIO_PROCESS, 0, ::getpriority(PRIO_PROCESS, 0) + background_niceness);
    static_cast<void>(lowered);
    what->function(what->argument);
  };
  EnvWrapper::Schedule(run, new work{function, argument});
}

void notable_lines::Logv(const char* format, std::va_list arguments) {
  std::array<char, 500> line;
  std::vsnprintf(line.data(), line.size(), format, arguments);
  std::string_view text{line.data()};
  auto notable = false;
  for (auto word : {"dropping", "rror", "orruption", "missing"})
    notable = notable || text.find(word) != std::string_view::npos;
  // The first opening of a new directory.
  if (!notable || text.find("Creating DB") != std::string_view::npos)
    return;
  while (text.ends_with('\n'))
    text.remove_suffix(1);
  std::lock_guard lock{mutex_};
  if (lines_.size() < lines_max)
    lines_.emplace_back(text);
}

std::vector<std::string> notable_lines::take() {
  std::lock_guard lock{mutex_};
  return std::exchange(lines_, {});
}

} // namespace kai
