#include <algorithm>

#include "protocol/errc.hpp"
#include "storage/leveldb_keys.hpp"
#include "test/storage/leveldb_fixture.hpp"

using namespace kai;
using namespace kai::test;

TEST_CASE("a damaged record in LevelDB is set aside, never served, and heals by a write") {
  leveldb_fixture f;
  REQUIRE_FALSE(f.open());
  for (int i = 0; i < 50; ++i)
    REQUIRE_FALSE(put(*f.db, name(i), sample_record(1, name(i) + " value")));
  auto partition = partition_for(name(7));
  auto db_key = leveldb_keys::record_key(partition, area::data, name(7));
  std::string damaged;
  f.raw([&](leveldb::DB& raw) {
    REQUIRE(raw.Get({}, db_key, &damaged).ok());
    damaged[damaged.size() / 2] ^= 8;
    REQUIRE(raw.Put({}, db_key, damaged).ok());
  });
  REQUIRE_FALSE(f.open());
  SECTION("found by a read") { CHECK(value_of(*f.db, name(7)) == "damaged"); }
  SECTION("found by a scan") {
    auto visits = 0;
    REQUIRE_FALSE(f.db->scan(partition, area::data, 0, [&](uint64_t, const blob& key, record&&) {
      CHECK(key.view() != name(7));
      return ++visits;
    }));
  }
  CHECK(value_of(*f.db, name(7)) == "damaged");
  CHECK(f.db->stats().damaged == 1);
  CHECK(f.log.size() == 1);
  CHECK(f.lost == std::vector{std::optional{partition}});
  while (!f.db->count_some(20)) {
  }
  CHECK(f.db->stats().keys == 49);

  // Still so after a start; the bytes are kept.
  f.raw([&](leveldb::DB& raw) {
    std::string kept;
    CHECK(raw.Get({}, db_key, &kept).IsNotFound());
    CHECK(raw.Get({}, leveldb_keys::aside_key(db_key), &kept).ok());
    CHECK(kept == damaged);
  });
  REQUIRE_FALSE(f.open());
  CHECK(value_of(*f.db, name(7)) == "damaged");
  CHECK(value_of(*f.db, name(8)) == "key8 value");
  REQUIRE_FALSE(put(*f.db, name(7), sample_record(2, "again")));
  CHECK(value_of(*f.db, name(7)) == "again");
  while (!f.db->count_some(20)) {
  }
  CHECK(f.db->stats().keys == 50);
}

TEST_CASE("damaged meta is an error, not an old or empty value") {
  leveldb_fixture f;
  REQUIRE_FALSE(f.open());
  REQUIRE_FALSE(f.db->write_meta("clock", "1234"));
  f.raw([&](leveldb::DB& raw) {
    std::string bytes;
    REQUIRE(raw.Get({}, leveldb_keys::meta_key("clock"), &bytes).ok());
    bytes.back() ^= 1;
    REQUIRE(raw.Put({}, leveldb_keys::meta_key("clock"), bytes).ok());
  });
  REQUIRE_FALSE(f.open());
  auto got = f.db->read_meta("clock");
  REQUIRE_FALSE(got);
  CHECK(got.error() == errc::damaged);
}

TEST_CASE("whatever bit of a table file flips, no wrong value is served") {
  leveldb_fixture f;
  REQUIRE_FALSE(f.open());
  for (int i = 0; i < 300; ++i)
    REQUIRE_FALSE(put(*f.db, name(i), sample_record(1, noise(i, 400))));
  f.db.reset();
  auto tables = f.files(".ldb");
  REQUIRE_FALSE(tables.empty());
  constexpr uint64_t seed = 51;
  INFO("seed " << seed);
  std::mt19937_64 random{seed};
  int damaged = 0;
  for (int round = 0; round < 20; ++round) {
    auto table = tables[random() % tables.size()];
    if (!f.env.FileExists(table))
      continue;
    f.env.flip_bit(table, random() % (f.env.contents(table).size() * 8));
    REQUIRE_FALSE(f.open());
    for (int i = 0; i < 300; ++i) {
      auto value = value_of(*f.db, name(i));
      auto right = value == noise(i, 400);
      damaged += value == "damaged" || value == "storage_failed";
      if (!right && value != "damaged" && value != "storage_failed")
        FAIL(name(i) << " is " << value.size() << " bytes, " << value.substr(0, 20));
    }
    f.db.reset();
  }
  CHECK(damaged > 0);
}

TEST_CASE("a damaged database is moved aside, said so, and an empty one is opened") {
  leveldb_fixture f;
  REQUIRE_FALSE(f.open());
  REQUIRE_FALSE(put(*f.db, "k", sample_record(1, "v")));
  f.db.reset();
  auto manifest = f.files("").front();
  for (auto& file : f.env.names())
    if (file.find("MANIFEST") != std::string::npos)
      manifest = file;
  SECTION("its manifest") { f.env.flip_bit(manifest, 100); }
  SECTION("its manifest is gone") { REQUIRE(f.env.RemoveFile(manifest).ok()); }
  SECTION("CURRENT") { f.env.overwrite("/db/CURRENT", "MANIFEST-999999\n"); }
  SECTION("CURRENT, empty") { f.env.overwrite("/db/CURRENT", ""); }
  SECTION("CURRENT is gone") { REQUIRE(f.env.RemoveFile("/db/CURRENT").ok()); }
  REQUIRE_FALSE(f.open());
  CHECK(f.db->started() == start_state::emptied);
  // LevelDB may have had a word before.
  REQUIRE_FALSE(f.log.empty());
  CHECK(std::count_if(f.log.begin(), f.log.end(), [](const std::string& line) {
          return line.find("/db.damaged-1") != std::string::npos;
        }) == 1);
  CHECK(f.env.FileExists("/db.damaged-1"));
  CHECK(value_of(*f.db, "k") == "nothing");
  CHECK(f.db->stats().exact);
  CHECK_FALSE(put(*f.db, "k", sample_record(2, "w")));
  REQUIRE_FALSE(f.open());
  CHECK(f.db->started() == start_state::existing);
  CHECK(value_of(*f.db, "k") == "w");
}

TEST_CASE("what a damaged log lost is not counted, though the counts behind it are intact") {
  leveldb_fixture f;
  REQUIRE_FALSE(f.open(sync_mode::interval, 1 << 20));
  for (int i = 0; i < 300; ++i)
    REQUIRE_FALSE(put(*f.db, name(i), sample_record(1, noise(i, 400))));
  f.db.reset();
  auto logs = f.files(".log");
  REQUIRE(logs.size() == 1);
  f.env.flip_bit(logs[0], f.env.contents(logs[0]).size() * 4);
  REQUIRE_FALSE(f.open());
  CHECK(f.db->started() == start_state::lossy);
  while (!f.db->count_some(100)) {
  }
  uint64_t there = 0;
  for (int i = 0; i < 300; ++i)
    there += value_of(*f.db, name(i)) != "nothing";
  CHECK(there < 300);
  CHECK(there > 0);
  CHECK(f.db->stats().keys == there);
}

namespace {

/// Writes until LevelDB has found its tables too damaged to be compacted.
void damage_tables(leveldb_fixture& f) {
  REQUIRE_FALSE(f.open());
  for (int i = 0; i < 300; ++i)
    REQUIRE_FALSE(put(*f.db, name(i), sample_record(1, noise(i, 400))));
  f.db.reset();
  for (auto& table : f.files(".ldb")) {
    auto bytes = f.env.contents(table);
    std::fill(bytes.begin() + 10, bytes.begin() + static_cast<long>(bytes.size() / 2), '\xee');
    f.env.overwrite(table, bytes);
  }
  REQUIRE_FALSE(f.open());
  caf::error err;
  for (int i = 0; i < 5000 && !err; ++i)
    err = put(*f.db, name(i % 300), sample_record(2, noise(i, 400)));
  REQUIRE(err == errc::storage_failed);
  CHECK_THAT(message_of(err), Catch::Contains("orruption"));
}

} // namespace

TEST_CASE(
    "a database that is moved aside while the disk takes no new one is replaced later, once") {
  leveldb_fixture f;
  damage_tables(f);
  SECTION("the disk is full") { f.env.capacity(f.env.used()); }
  SECTION("nothing can be made") { f.env.fail_writes_after_rename(); }
  for (int i = 0; i < 5; ++i)
    CHECK(f.db->flush() == errc::storage_failed);
  CHECK(f.env.FileExists("/db.damaged-1"));
  CHECK(value_of(*f.db, name(3)) == "storage_failed");
  f.env.capacity(0);
  f.env.fail_writes(false);
  REQUIRE_FALSE(f.db->flush());
  CHECK_FALSE(f.env.FileExists("/db.damaged-2"));
  CHECK(std::count(f.lost.begin(), f.lost.end(), std::nullopt) == 1);
  CHECK(value_of(*f.db, name(3)) == "nothing");
  REQUIRE_FALSE(put(*f.db, name(3), sample_record(3, "again")));
  REQUIRE_FALSE(f.open());
  CHECK(value_of(*f.db, name(3)) == "again");
}

TEST_CASE("tables too damaged to be compacted are moved aside while the node runs") {
  leveldb_fixture f;
  damage_tables(f);
  REQUIRE_FALSE(f.db->flush());
  CHECK(f.env.FileExists("/db.damaged-1"));
  CHECK(std::count(f.lost.begin(), f.lost.end(), std::nullopt) == 1);
  CHECK(f.db->stats().keys == 0);
  CHECK(f.db->stats().damaged > 0);
  for (int i = 0; i < 300; ++i)
    REQUIRE_FALSE(put(*f.db, name(i), sample_record(3, noise(i, 400))));
  while (!f.db->count_some(1000)) {
  }
  CHECK(f.db->stats().keys == 300);
  CHECK(value_of(*f.db, name(3)) == noise(3, 400));
}

TEST_CASE("with a full disk writes fail, reads go on, and writing resumes when there is room") {
  auto sync = GENERATE(sync_mode::always, sync_mode::interval);
  INFO("sync " << static_cast<int>(sync));
  leveldb_fixture f;
  REQUIRE_FALSE(f.open(sync));
  f.env.capacity(f.env.used() + 300'000);
  int n = 0;
  caf::error err;
  while (!(err = put(*f.db, name(n), sample_record(1, noise(n, 500)))))
    ++n;
  CHECK(err == errc::storage_failed);
  CHECK_THAT(message_of(err), Catch::Contains("No space left"));
  CHECK(n > 100);
  auto read_all = [&] {
    for (int i = 0; i < n; ++i)
      if (value_of(*f.db, name(i)) != noise(i, 500))
        return false;
    return true;
  };
  CHECK(read_all());
  CHECK(value_of(*f.db, name(n)) == "nothing");
  CHECK(f.db->flush() == errc::storage_failed);
  CHECK(put(*f.db, name(n), sample_record(1, "x")) == errc::storage_failed);
  CHECK(read_all());

  f.env.capacity(0);
  SECTION("by flush") { CHECK_FALSE(f.db->flush()); }
  SECTION("by writes") {
    int tries = 0;
    while (put(*f.db, "resumed", sample_record(1, "x")))
      REQUIRE(++tries < 200);
    n += 0;
  }
  CHECK(read_all());
  CHECK(value_of(*f.db, name(n)) == "nothing");
  CHECK_FALSE(put(*f.db, name(n), sample_record(2, "now")));
  CHECK(value_of(*f.db, name(n)) == "now");
  CHECK_FALSE(f.db->flush());
  auto keys = f.db->stats().keys;
  CHECK(f.db->stats().exact);
  CHECK(keys >= static_cast<uint64_t>(n) + 1);
  f.crash();
  REQUIRE_FALSE(f.open(sync));
  CHECK(read_all());
  CHECK(value_of(*f.db, name(n)) == "now");
  while (!f.db->count_some(1000)) {
  }
  CHECK(f.db->stats().keys == keys);
}

TEST_CASE("a write that failed in its sync does not show up later") {
  leveldb_fixture f;
  REQUIRE_FALSE(f.open(sync_mode::always));
  REQUIRE_FALSE(put(*f.db, "old", sample_record(1, "before")));
  f.env.fail_syncs(true);
  write_batch batch;
  for (auto* key : {"old", "new"})
    batch.put(partition_for(key), area::data, blob::copy_of(key), sample_record(2, "after"));
  CHECK(f.db->write(batch) == errc::storage_failed);
  CHECK(value_of(*f.db, "old") == "before");
  CHECK(f.db->flush() == errc::storage_failed);
  f.env.fail_syncs(false);
  CHECK_FALSE(f.db->flush());
  CHECK(value_of(*f.db, "old") == "before");
  CHECK(value_of(*f.db, "new") == "nothing");
  CHECK(f.db->stats().keys == 1);
  REQUIRE_FALSE(f.open(sync_mode::always));
  CHECK(value_of(*f.db, "old") == "before");
  CHECK(value_of(*f.db, "new") == "nothing");
}
