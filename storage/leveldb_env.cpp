#include "storage/leveldb_env.hpp"

#include <array>
#include <cstdio>
#include <memory>
#include <string_view>
#include <utility>

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
  explicit table_file(leveldb::WritableFile* target) : target_(target) {}

  leveldb::Status Append(const leveldb::Slice& data) override { return target_->Append(data); }
  leveldb::Status Close() override { return target_->Close(); }
  leveldb::Status Flush() override { return leveldb::Status::OK(); }
  leveldb::Status Sync() override { return target_->Sync(); }

private:
  std::unique_ptr<leveldb::WritableFile> target_;
};

} // namespace

leveldb::Status leveldb_env::NewWritableFile(const std::string& name,
                                             leveldb::WritableFile** file) {
  auto status = EnvWrapper::NewWritableFile(name, file);
  if (!status.ok())
    return status;
  if (sync_logs_ && name.ends_with(".log"))
    *file = new log_file{*this, *file};
  else if (name.ends_with(".ldb"))
    *file = new table_file{*file};
  return status;
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
