#include "storage/leveldb_env.hpp"

#include <filesystem>
#include <memory>
#include <string>

#include <catch2/catch.hpp>
#include <stdlib.h>

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
