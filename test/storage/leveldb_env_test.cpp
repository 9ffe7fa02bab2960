#include "storage/leveldb_env.hpp"

#include <algorithm>
#include <filesystem>
#include <future>
#include <memory>
#include <string>
#include <vector>

#include <catch2/catch.hpp>
#include <stdlib.h>
#include <sys/resource.h>

using namespace kai;

namespace {

/// A directory on the real disk: the one in memory buffers nothing.
struct scratch_directory {
  std::string path = std::filesystem::temp_directory_path() / "kai-env-XXXXXX";

  scratch_directory() { REQUIRE(::mkdtemp(path.data()) != nullptr); }
  ~scratch_directory() { std::filesystem::remove_all(path); }
};

std::unique_ptr<leveldb::WritableFile> make_file(leveldb_env& env, const std::string& name) {
  leveldb::WritableFile* made = nullptr;
  REQUIRE(env.NewWritableFile(name, &made).ok());
  return std::unique_ptr<leveldb::WritableFile>{made};
}

} // namespace

TEST_CASE("blocks of a table reach the disk together, and all of them once it is synced") {
  scratch_directory at;
  leveldb_env env{leveldb::Env::Default(), true};
  auto name = at.path + "/000005.ldb";
  auto file = make_file(env, name);
  const std::string block(4096, 'b');
  for (int i = 0; i < 10; ++i) {
    REQUIRE(file->Append(block).ok());
    REQUIRE(file->Flush().ok());
  }
  CHECK(std::filesystem::file_size(name) == 0);
  REQUIRE(file->Sync().ok());
  CHECK(std::filesystem::file_size(name) == 10 * block.size());
  for (int i = 0; i < 100; ++i)
    REQUIRE(file->Append(block).ok());
  CHECK(std::filesystem::file_size(name) > 90 * block.size());
  REQUIRE(file->Close().ok());
  CHECK(std::filesystem::file_size(name) == 110 * block.size());
}

TEST_CASE("what LevelDB flushes of a log and of its other files is with the system at once") {
  scratch_directory at;
  auto sync_logs = GENERATE(true, false);
  leveldb_env env{leveldb::Env::Default(), sync_logs};
  for (auto base : {"/000006.log", "/MANIFEST-000004", "/000007.dbtmp"}) {
    INFO(base);
    auto file = make_file(env, at.path + base);
    REQUIRE(file->Append("a record").ok());
    REQUIRE(file->Flush().ok());
    CHECK(std::filesystem::file_size(at.path + base) == 8);
  }
}

TEST_CASE("of a table that was cut short what is left is read, and where it is kept open or not") {
  scratch_directory at;
  leveldb_env env{leveldb::Env::Default(), true};
  auto name = at.path + "/000005.ldb";
  {
    auto file = make_file(env, name);
    REQUIRE(file->Append("0123456789").ok());
    REQUIRE(file->Close().ok());
  }
  // More than are kept open.
  constexpr size_t count = 1100;
  std::vector<std::unique_ptr<leveldb::RandomAccessFile>> files;
  for (size_t i = 0; i < count; ++i) {
    leveldb::RandomAccessFile* file = nullptr;
    REQUIRE(env.NewRandomAccessFile(name, &file).ok());
    files.emplace_back(file);
  }
  std::filesystem::resize_file(name, 6);
  for (auto* file : {files.front().get(), files.back().get()}) {
    char scratch[16];
    leveldb::Slice got;
    REQUIRE(file->Read(2, 3, &got, scratch).ok());
    CHECK(got == "234");
    REQUIRE(file->Read(4, 6, &got, scratch).ok());
    CHECK(got == "45");
    REQUIRE(file->Read(8, 2, &got, scratch).ok());
    CHECK(got.empty());
  }
  std::filesystem::remove(name);
  char scratch[16];
  leveldb::Slice got;
  CHECK(files.front()->Read(0, 6, &got, scratch).ok());
  CHECK(files.back()->Read(0, 6, &got, scratch).IsIOError());
  leveldb::RandomAccessFile* file = nullptr;
  CHECK(env.NewRandomAccessFile(name, &file).IsNotFound());
}

TEST_CASE("background work yields to what clients wait for") {
  leveldb_env env{leveldb::Env::Default(), true};
  auto before = ::getpriority(PRIO_PROCESS, 0);
  std::promise<int> found;
  // Twice: it is the same thread, and is made nicer once.
  for (int i = 0; i < 2; ++i) {
    found = {};
    auto look = [](void* x) {
      static_cast<std::promise<int>*>(x)->set_value(::getpriority(PRIO_PROCESS, 0));
    };
    env.Schedule(look, &found);
    CHECK(found.get_future().get() == std::min(before + leveldb_env::background_niceness, 19));
  }
  CHECK(::getpriority(PRIO_PROCESS, 0) == before);
}
