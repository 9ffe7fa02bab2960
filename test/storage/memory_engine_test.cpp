#include "storage/memory_engine.hpp"

#include <set>

#include <catch2/catch.hpp>

#include "protocol/errc.hpp"
#include "test/storage/samples.hpp"

using namespace kai;
using namespace kai::test;

namespace {

std::string name(int i) { return "key" + std::to_string(i); }

int held(engine& db, int from, int to) {
  int n = 0;
  for (int i = from; i < to; ++i)
    n += get(db, name(i))->has_value();
  return n;
}

} // namespace

TEST_CASE("a value read from memory is a slice of what is stored, and outlives its record") {
  memory_engine db{{partitions, 0, false, {}}};
  REQUIRE_FALSE(put(db, "k", sample_record(1, "value")));
  auto a = **get(db, "k");
  auto b = **get(db, "k");
  CHECK(a.versions[0].value.data() == b.versions[0].value.data());
  REQUIRE_FALSE(put(db, "k", sample_record(2, "other")));
  CHECK(a.versions[0].value.view() == "value");
}

TEST_CASE("a record that changed in memory is never served, also after it was set aside") {
  std::vector<std::string> log;
  std::vector<partition_id> lost;
  engine_hooks hooks;
  hooks.log = [&](std::string line) { log.push_back(std::move(line)); };
  hooks.lost = [&](std::optional<partition_id> p) { lost.push_back(*p); };
  memory_engine db{{partitions, 0, false, hooks}};
  REQUIRE_FALSE(put(db, "k", sample_record(1, "value")));
  auto x = **get(db, "k");
  const_cast<char*>(x.versions[0].value.data())[2] ^= 4;

  SECTION("found by a read") {
    // That does not look at values.
    auto digest = db.digest(partition_for("k"), area::data, "k");
    REQUIRE(digest);
    CHECK(*digest == digest_of("k", x));
    auto got = get(db, "k");
    REQUIRE_FALSE(got);
    CHECK(got.error() == errc::damaged);
  }
  SECTION("found by a scan") {
    auto visits = 0;
    CHECK_FALSE(db.scan(partition_for("k"), area::data, 0,
                        [&](uint64_t, const blob&, record&&) { return ++visits; }));
    CHECK(visits == 0);
  }
  auto again = get(db, "k");
  REQUIRE_FALSE(again);
  CHECK(again.error() == errc::damaged);
  CHECK(db.stats().damaged == 1);
  CHECK(db.stats().keys == 0);
  CHECK(db.stats().bytes == 0);
  CHECK(log.size() == 1);
  CHECK(lost == std::vector{partition_for("k")});
  REQUIRE_FALSE(put(db, "k", sample_record(2, "new")));
  CHECK((**get(db, "k")).versions[0].value.view() == "new");
}

TEST_CASE("a record whose bytes are none any more has no digest, and is set aside") {
  memory_engine db{{partitions, 0, false, {}}};
  REQUIRE_FALSE(put(db, "k", sample_record(1, "value")));
  auto x = **get(db, "k");
  // The value's length.
  const_cast<char*>(x.versions[0].value.data())[-1] ^= 1;
  for (int i = 0; i < 2; ++i) {
    auto digest = db.digest(partition_for("k"), area::data, "k");
    REQUIRE_FALSE(digest);
    CHECK(digest.error() == errc::damaged);
  }
  CHECK(db.stats().damaged == 1);
}

TEST_CASE("over the memory limit nothing of a batch is applied, and deleting goes on") {
  constexpr uint64_t limit = 300'000;
  memory_engine db{{partitions, limit, false, {}}};
  std::string value(100, 'v');
  int n = 0;
  caf::error err;
  while (!(err = put(db, name(n), sample_record(1, value))))
    ++n;
  CHECK(err == errc::out_of_memory);
  CHECK(db.stats().keys == static_cast<uint64_t>(n));
  auto full = db.stats().memory;
  CHECK(full <= limit + 2000);

  write_batch batch;
  batch.put(partition_for(name(0)), area::data, blob::copy_of(name(0)), sample_record(5, value));
  for (int i = n; i < n + 2; ++i)
    batch.put(partition_for(name(i)), area::data, blob::copy_of(name(i)), sample_record(5, value));
  CHECK(db.write(batch) == errc::out_of_memory);
  CHECK((**get(db, name(0))).versions[0].written.clock == 1);
  CHECK(db.stats().memory == full);

  // The same size again fits, and so does a delete mark.
  CHECK_FALSE(put(db, name(0), sample_record(6, value)));
  for (int i = 1; i < 20; ++i)
    REQUIRE_FALSE(put(db, name(i), sample_record(7, "", true)));
  CHECK(db.stats().tombstones == 19);
  CHECK_FALSE(put(db, name(n), sample_record(8, value)));
}

TEST_CASE("with lru the records that nobody reads go, and delete marks stay") {
  std::set<std::string> evicted;
  engine_hooks hooks;
  hooks.evicted = [&](partition_id p, const blob& key) {
    CHECK(p == partition_for(key.view()));
    CHECK(evicted.insert(key.str()).second);
  };
  memory_engine db{{partitions, 1'000'000, true, hooks}};
  std::string value(100, 'v');
  for (int i = 0; i < 20; ++i)
    REQUIRE_FALSE(put(db, "gone" + std::to_string(i), sample_record(1, "", true)));
  for (int i = 0; i < 10000; ++i) {
    REQUIRE_FALSE(put(db, name(i), sample_record(1, value)));
    // The first fifty are read all the time.
    if (i % 5 == 0)
      held(db, 0, 50);
  }
  auto stats = db.stats();
  CHECK(stats.memory <= 1'005'000);
  CHECK(stats.evicted == evicted.size());
  CHECK(stats.evicted + stats.keys == 10000);
  CHECK(stats.keys > 4000);
  CHECK(stats.tombstones == 20);
  CHECK(held(db, 0, 50) >= 45);
  CHECK(static_cast<uint64_t>(held(db, 0, 10000)) == stats.keys);
}

TEST_CASE("among very many delete marks an eviction looks at some at a time") {
  constexpr int marks = 20'000;
  memory_engine db{{partitions, 10'000'000, true, {}}};
  REQUIRE_FALSE(put(db, "live", sample_record(1, std::string(100'000, 'v'))));
  for (int i = 0; i < marks; ++i)
    REQUIRE_FALSE(put(db, name(i), sample_record(1, "", true)));
  auto left = 10'000'000 - db.stats().memory;
  auto large = sample_record(1, std::string(left, 'v'));
  int refused = 0;
  while (auto err = put(db, "new", large)) {
    CHECK(err == errc::out_of_memory);
    REQUIRE(++refused <= marks / 4096 + 1);
  }
  CHECK(db.stats().evicted == 1);
  CHECK(db.stats().tombstones == marks);
  // Somewhere among the marks: the chance to meet it at once is small, and the keys are fixed.
  CHECK(refused > 0);
}

TEST_CASE("an item larger than the limit is refused without evicting for it") {
  memory_engine db{{partitions, 1'000'000, true, {}}};
  REQUIRE_FALSE(put(db, "small", sample_record(1, "x")));
  CHECK(put(db, "large", sample_record(1, std::string(2'000'000, 'x'))) == errc::out_of_memory);
  CHECK(db.stats().evicted == 0);
  CHECK(db.stats().keys == 1);
}

TEST_CASE("the memory engine refuses a key under another partition") {
  memory_engine db{{partitions, 0, false, {}}};
  write_batch batch;
  batch.put(static_cast<partition_id>(partition_for("k") ^ 1), area::data, blob::copy_of("k"),
            sample_record(1, "x"));
  CHECK(db.write(batch) == errc::refused);
  CHECK(db.stats().keys == 0);
}

TEST_CASE("what is removed from a memory engine is given back") {
  memory_engine db{{partitions, 0, false, {}}};
  for (auto where : {area::data, area::hint, area::merkle}) {
    write_batch in;
    write_batch out;
    for (int i = 0; i < 3000; ++i) {
      auto partition = partition_for(name(i));
      in.put(partition, where, blob::copy_of(name(i)), sample_record(1, "value"));
      out.remove(partition, where, blob::copy_of(name(i)));
    }
    REQUIRE_FALSE(db.write(in));
    auto full = db.stats().memory;
    REQUIRE_FALSE(db.write(out));
    // Only slots remain.
    CHECK(db.stats().memory <= full - 3000 * 64);
  }
}

TEST_CASE("keys that were announced are read like others") {
  memory_engine db{{partitions, 0, false, {}}};
  std::vector<uint64_t> announced;
  for (int i = 0; i < 1000; ++i)
    announced.push_back(key_hash(name(i)));
  db.expect(announced);
  for (int i = 0; i < 1000; i += 2)
    REQUIRE_FALSE(put(db, name(i), sample_record(1, name(i))));
  db.expect(announced);
  db.expect({});
  for (int i = 0; i < 1000; ++i)
    CHECK((*get(db, name(i))).has_value() == (i % 2 == 0));
}
