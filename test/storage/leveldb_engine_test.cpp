#include "storage/leveldb_engine.hpp"

#include <map>

#include "protocol/errc.hpp"
#include "test/storage/leveldb_fixture.hpp"

using namespace kai;
using namespace kai::test;

TEST_CASE("a database that was closed gives everything back, counts included") {
  leveldb_fixture f;
  REQUIRE_FALSE(f.open());
  CHECK(f.db->started() == start_state::fresh);
  for (int i = 0; i < 500; ++i)
    REQUIRE_FALSE(put(*f.db, name(i), sample_record(i + 1, noise(i, 300), i % 10 == 0)));
  REQUIRE_FALSE(f.db->write_meta("clock", "12"));
  auto before = f.db->stats();
  REQUIRE_FALSE(f.open());
  CHECK(f.db->started() == start_state::existing);
  auto after = f.db->stats();
  CHECK(after.exact);
  CHECK(after.keys == 450);
  CHECK(after.tombstones == 50);
  CHECK(after.bytes == before.bytes);
  for (int i = 1; i < 500; i += 7)
    if (i % 10)
      CHECK(value_of(*f.db, name(i)) == noise(i, 300));
  CHECK(**f.db->read_meta("clock") == "12");
  CHECK(f.log.empty());
}

TEST_CASE("after a crash the counts are made up bit by bit, exact under writes") {
  leveldb_fixture f;
  REQUIRE_FALSE(f.open(sync_mode::always));
  constexpr uint64_t seed = 31;
  INFO("seed " << seed);
  std::mt19937_64 random{seed};
  for (int i = 0; i < 400; ++i) {
    REQUIRE_FALSE(put(*f.db, name(i), random_record(random)));
    write_batch other;
    other.put(partition_for(name(i)), area::merkle, blob::copy_of("m"), sample_record(1, "leaf"));
    REQUIRE_FALSE(f.db->write(other));
  }
  f.crash();
  REQUIRE_FALSE(f.open(sync_mode::always));
  CHECK_FALSE(f.db->stats().exact);
  int rounds = 0;
  while (!f.db->count_some(10)) {
    ++rounds;
    for (int i = 0; i < 5; ++i) {
      auto key = name(static_cast<int>(random() % 500));
      write_batch batch;
      if (random() % 3 == 0)
        batch.remove(partition_for(key), area::data, blob::copy_of(key));
      else
        batch.put(partition_for(key), area::data, blob::copy_of(key), random_record(random));
      REQUIRE_FALSE(f.db->write(batch));
    }
  }
  CHECK(rounds > 20);
  engine_stats want;
  for (partition_id p = 0; p < partitions; ++p)
    REQUIRE_FALSE(f.db->scan(p, area::data, 0, [&](uint64_t, const blob& key, record&& x) {
      auto n = footprint_of(key.view(), x);
      want.keys += n.what == footprint::state::live;
      want.tombstones += n.what == footprint::state::tombstone;
      want.bytes += n.bytes;
      return true;
    }));
  auto stats = f.db->stats();
  CHECK(stats.exact);
  CHECK(stats.keys == want.keys);
  CHECK(stats.tombstones == want.tombstones);
  CHECK(stats.bytes == want.bytes);
}

TEST_CASE("a crash loses no more than storage.sync says, over changes of the log too") {
  auto sync = GENERATE(sync_mode::always, sync_mode::interval, sync_mode::never);
  auto seed = GENERATE(range(41u, 49u));
  INFO("sync " << static_cast<int>(sync) << ", seed " << seed);
  std::mt19937_64 random{seed};
  leveldb_fixture f;
  REQUIRE_FALSE(f.open(sync, 16 * 1024));
  int written = 0;
  int durable = 0;
  auto total = static_cast<int>(100 + random() % 300);
  for (; written < total; ++written) {
    write_batch batch;
    for (auto* part : {"a", "b"}) {
      auto key = name(written) + part;
      batch.put(partition_for(key), area::data, blob::copy_of(key),
                sample_record(written + 1, noise(written, 200)));
    }
    REQUIRE_FALSE(f.db->write(batch));
    if (random() % 50 == 0) {
      REQUIRE_FALSE(f.db->flush());
      durable = sync == sync_mode::interval ? written + 1 : durable;
    }
  }
  if (sync == sync_mode::always)
    durable = written;
  random() % 2 == 0 ? f.env.crash() : f.env.crash_torn(seed);
  f.db.reset();
  f.env.power_on();
  REQUIRE_FALSE(f.open(sync, 16 * 1024));
  CHECK(f.db->started() != start_state::emptied);
  auto here = 0;
  while (here < written && value_of(*f.db, name(here) + "a") == noise(here, 200))
    ++here;
  CHECK(here >= durable);
  // What is left is a beginning of what was written, in whole batches; without sync there may be
  // gaps between logs.
  for (int i = 0; i < written; ++i)
    CHECK(value_of(*f.db, name(i) + "a") == value_of(*f.db, name(i) + "b"));
  if (sync != sync_mode::never)
    for (int i = here; i < written; ++i)
      CHECK(value_of(*f.db, name(i) + "a") == "nothing");
}

TEST_CASE("meta is durable at once, whatever storage.sync is") {
  leveldb_fixture f;
  for (auto sync : {sync_mode::never, sync_mode::interval, sync_mode::always}) {
    REQUIRE_FALSE(f.open(sync));
    auto text = std::to_string(static_cast<int>(sync));
    REQUIRE_FALSE(f.db->write_meta("clock", text));
    f.crash();
    REQUIRE_FALSE(f.open(sync));
    CHECK(**f.db->read_meta("clock") == text);
  }
}

TEST_CASE("a database in use is refused, with its name") {
  leveldb_fixture f;
  REQUIRE_FALSE(f.open());
  leveldb_engine_options second;
  second.directory = "/db";
  second.env = &f.env;
  second.settle = [&] { f.env.run_scheduled(); };
  auto opened = leveldb_engine::open(std::move(second));
  REQUIRE_FALSE(opened);
  CHECK(opened.error() == errc::storage_failed);
  CHECK_THAT(message_of(opened.error()), Catch::Contains("/db"));
  CHECK_FALSE(put(*f.db, "k", sample_record(1, "v")));
}

TEST_CASE("two runs on disks in memory leave the same bytes") {
  std::map<std::string, std::string> first;
  for (int run = 0; run < 2; ++run) {
    leveldb_fixture f;
    REQUIRE_FALSE(f.open(sync_mode::interval, 16 * 1024));
    for (int i = 0; i < 300; ++i)
      REQUIRE_FALSE(put(*f.db, name(i % 70), sample_record(i + 1, noise(i, 300))));
    f.db.reset();
    std::map<std::string, std::string> bytes;
    for (auto& file : f.env.names())
      bytes[file] = f.env.contents(file);
    if (run == 0)
      first = bytes;
    CHECK(bytes == first);
  }
}
