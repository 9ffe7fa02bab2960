#include "apps/backup_file.hpp"

#include <map>

#include <catch2/catch.hpp>

#include "protocol/errc.hpp"

using namespace kai;
namespace fs = std::filesystem;

namespace {

record some_record(uint64_t clock, const std::string& value) {
  version v;
  v.written = {5, clock};
  v.value = blob::copy_of(value);
  record x;
  overwrite(x, v);
  return x;
}

struct world {
  world() {
    std::string name = (fs::temp_directory_path() / "kai-backup-XXXXXX").string();
    REQUIRE(::mkdtemp(name.data()));
    directory = name;
  }
  ~world() { fs::remove_all(directory); }

  void write() {
    backup_writer out{directory, 7};
    for (auto& [key, value] : records)
      out.add(key, value);
    REQUIRE_FALSE(out.finish());
    CHECK(out.keys() == records.size());
  }
  caf::error read() {
    found.clear();
    return read_backup(directory, 7, [this](std::string key, record value) {
      found.emplace(std::move(key), std::move(value));
      return true;
    });
  }

  std::string bytes() const {
    std::ifstream in{file(), std::ios::binary};
    return {std::istreambuf_iterator<char>{in}, {}};
  }
  void replace(const std::string& bytes) const {
    std::ofstream{file(), std::ios::binary | std::ios::trunc} << bytes;
  }
  fs::path file() const { return directory / "partition-00007"; }

  fs::path directory;
  std::map<std::string, record> records{{"a", some_record(1, "one")},
                                        {"b", some_record(2, std::string(3000, 'x'))},
                                        {"c", some_record(3, "")}};
  std::map<std::string, record> found;
};

} // namespace

TEST_CASE("a partition's records survive their backup") {
  world w;
  w.write();
  REQUIRE_FALSE(w.read());
  CHECK(w.found == w.records);
  w.records.clear();
  w.write();
  REQUIRE_FALSE(w.read());
  CHECK(w.found.empty());
}

TEST_CASE("a partition's records of format 1 are read, of a later one than ours not") {
  world w;
  w.write();
  auto whole = w.bytes();
  auto digit = whole.find(" 2\n") + 1;
  REQUIRE(digit == std::string{"kai backup, format "}.size());
  whole[digit] = '1';
  w.replace(whole);
  REQUIRE_FALSE(w.read());
  CHECK(w.found == w.records);
  whole[digit] = '3';
  w.replace(whole);
  CHECK(w.read() == errc::damaged);
}

TEST_CASE("a backup that is cut, longer, or changed in one bit is damaged") {
  world w;
  w.write();
  auto whole = w.bytes();
  for (size_t n = 0; n < whole.size(); n += n < 200 ? 1 : 37) {
    w.replace(whole.substr(0, n));
    INFO("cut at " << n);
    REQUIRE(w.read() == errc::damaged);
  }
  w.replace(whole + "x");
  CHECK(w.read() == errc::damaged);
  for (size_t n = 0; n < whole.size(); n += n < 200 ? 1 : 37) {
    auto changed = whole;
    changed[n] = static_cast<char>(changed[n] ^ (1 << n % 8));
    w.replace(changed);
    INFO("changed at " << n);
    REQUIRE(w.read() == errc::damaged);
  }
  fs::remove(w.file());
  CHECK(w.read() == errc::storage_failed);
}

TEST_CASE("a backup that was not finished has no name, and no summary") {
  world w;
  {
    backup_writer out{w.directory, 7};
    out.add("a", w.records["a"]);
  }
  CHECK_FALSE(fs::exists(w.file()));
  CHECK(read_summary(w.directory).error() == errc::refused);
}

TEST_CASE("a summary survives, and others are refused") {
  world w;
  CHECK_FALSE(write_summary(w.directory, {0xabcdef, 64, 12, 3456}));
  auto x = read_summary(w.directory);
  REQUIRE(x);
  CHECK(x->cluster_id == 0xabcdef);
  CHECK(x->partitions == 64);
  CHECK(x->keys == 12);
  CHECK(x->bytes == 3456);
  auto put = [&](const std::string& text) {
    std::ofstream{w.directory / "backup.json", std::ios::trunc} << text;
    return read_summary(w.directory).error();
  };
  CHECK(put("{}") == errc::damaged);
  CHECK(put("no json") == errc::damaged);
  CHECK(put(R"({"format":3})") == errc::incompatible);
  for (auto* format : {"1", "2"}) {
    auto text = std::string{R"({"format":)"} + format + R"(,"cluster":"1","keys":1,"bytes":1)";
    CHECK(put(text + R"(,"partitions":3})") == errc::damaged);
    std::ofstream{w.directory / "backup.json", std::ios::trunc} << text + R"(,"partitions":4})";
    CHECK(read_summary(w.directory));
  }
}

TEST_CASE("a backup goes to a directory of its own") {
  world w;
  CHECK_FALSE(make_backup_directory(w.directory / "new" / "one"));
  CHECK(fs::is_directory(w.directory / "new" / "one"));
  CHECK(make_backup_directory(w.directory) == errc::refused);
}
