#include "storage/engine.hpp"

#include <map>

#include <catch2/catch.hpp>

#include "protocol/errc.hpp"
#include "storage/caching_engine.hpp"
#include "storage/make_engine.hpp"
#include "test/storage/samples.hpp"
#include "test/support/memory_env.hpp"

using namespace kai;
using namespace kai::test;

namespace {

/// What every engine has to do, with either.
struct memory_fixture {
  std::unique_ptr<engine> db = make_engine(memory_engine_options{partitions, 0, false, {}});
};

struct leveldb_fixture {
  memory_env env;
  std::unique_ptr<engine> db;

  leveldb_fixture() {
    leveldb_engine_options options;
    options.directory = "/db";
    options.env = &env;
    // Small: the tests compact.
    options.write_buffer_bytes = 64 * 1024;
    options.settle = [this] { env.run_scheduled(); };
    db = std::move(*make_engine(std::move(options)));
  }
};

/// With records kept in memory, some of them.
struct caching_fixture : leveldb_fixture {
  caching_fixture() {
    db = std::make_unique<caching_engine>(std::move(db), std::make_shared<record_cache>(32 * 1024));
  }
};

using model = std::map<std::tuple<partition_id, uint8_t, uint64_t, std::string>, record>;

/// Several keys of one hash cannot be made, but many of one partition can.
std::string key_in(partition_id partition, int n) {
  for (int i = 0;; ++i) {
    auto key = "p" + std::to_string(n) + "." + std::to_string(i);
    if (partition_for(key) == partition)
      return key;
  }
}

void check_stats(const engine& db, const model& expected) {
  engine_stats want;
  for (auto& [at, value] : expected)
    if (std::get<1>(at) == static_cast<uint8_t>(area::data)) {
      auto x = footprint_of(std::get<3>(at), value);
      want.keys += x.what == footprint::state::live;
      want.tombstones += x.what == footprint::state::tombstone;
      want.bytes += x.bytes;
    }
  auto stats = db.stats();
  REQUIRE(stats.exact);
  REQUIRE(stats.keys == want.keys);
  REQUIRE(stats.tombstones == want.tombstones);
  REQUIRE(stats.bytes == want.bytes);
}

void check_scan(engine& db, const model& expected, partition_id partition, area where,
                uint64_t from) {
  auto next = expected.lower_bound({partition, static_cast<uint8_t>(where), from, ""});
  auto err = db.scan(partition, where, from, [&](uint64_t hash, const blob& key, record&& value) {
    REQUIRE(next != expected.end());
    REQUIRE(next->first == std::tuple{partition, static_cast<uint8_t>(where), hash, key.str()});
    REQUIRE(next->second == value);
    ++next;
    return true;
  });
  REQUIRE_FALSE(err);
  REQUIRE((next == expected.end() || std::get<0>(next->first) != partition ||
           std::get<1>(next->first) != static_cast<uint8_t>(where)));
}

} // namespace

TEMPLATE_TEST_CASE("an engine behaves like a map, counts included", "", memory_fixture,
                   leveldb_fixture, caching_fixture) {
  TestType fixture;
  auto& db = *fixture.db;
  auto seed = GENERATE(21u, 22u);
  INFO("seed " << seed);
  std::mt19937_64 random{seed};
  model expected;
  for (int i = 0; i < 2500; ++i) {
    write_batch batch;
    for (auto n = random() % 4 + 1; n > 0; --n) {
      auto where = static_cast<area>(random() % 3 + 1);
      auto key = "key" + std::to_string(random() % 300);
      auto partition = partition_for(key);
      auto at = std::tuple{partition, static_cast<uint8_t>(where), key_hash(key), key};
      auto old = expected.find(at);
      // Half of the callers know what they replace.
      std::optional<footprint> replaced;
      if (random() % 2 == 0)
        replaced = old == expected.end() ? footprint{} : footprint_of(key, old->second);
      if (random() % 4 == 0) {
        batch.remove(partition, where, blob::copy_of(key), replaced);
        expected.erase(at);
      } else {
        auto value = random_record(random);
        batch.put(partition, where, blob::copy_of(key), value, replaced);
        expected.insert_or_assign(at, value);
      }
    }
    REQUIRE_FALSE(db.write(batch));
    if (i % 5 == 0)
      REQUIRE_FALSE(db.flush());

    auto key = "key" + std::to_string(random() % 300);
    auto where = static_cast<area>(random() % 3 + 1);
    auto partition = partition_for(key);
    auto got = db.read(partition, where, key);
    REQUIRE(got);
    auto known = expected.find({partition, static_cast<uint8_t>(where), key_hash(key), key});
    REQUIRE(got->has_value() == (known != expected.end()));
    if (known != expected.end())
      REQUIRE(**got == known->second);
    auto digest = db.digest(partition, where, key);
    REQUIRE(digest);
    REQUIRE(*digest == (known != expected.end() ? digest_of(key, known->second) : 0));
    if (i % 50 == 0) {
      check_stats(db, expected);
      check_scan(db, expected, partition, where, 0);
      check_scan(db, expected, partition, where, key_hash(key));
    }
  }
  check_stats(db, expected);
}

TEMPLATE_TEST_CASE("a scan stops, resumes, and keeps to its partition and area", "", memory_fixture,
                   leveldb_fixture) {
  TestType fixture;
  auto& db = *fixture.db;
  std::map<uint64_t, std::string> expected;
  for (partition_id p : {4, 5, 6})
    for (int i = 0; i < 30; ++i) {
      auto key = key_in(p, i);
      REQUIRE_FALSE(put(db, key, sample_record(1000 + i, key)));
      write_batch hint;
      hint.put(p, area::hint, blob::copy_of("h" + key), sample_record(1, "hint"));
      REQUIRE_FALSE(db.write(hint));
      if (p == 5)
        expected.emplace(key_hash(key), key);
    }
  // Seven at a time, from behind the last hash.
  std::vector<std::string> seen;
  uint64_t from = 0;
  for (bool more = true; more;) {
    more = false;
    int n = 0;
    REQUIRE_FALSE(db.scan(5, area::data, from, [&](uint64_t hash, const blob& key, record&&) {
      seen.push_back(key.str());
      from = hash + 1;
      more = ++n == 7;
      return !more;
    }));
  }
  std::vector<std::string> want;
  for (auto& [hash, key] : expected)
    want.push_back(key);
  CHECK(seen == want);
}

TEMPLATE_TEST_CASE("meta is kept by name, apart from records", "", memory_fixture,
                   leveldb_fixture) {
  TestType fixture;
  auto& db = *fixture.db;
  auto nothing = db.read_meta("clock");
  REQUIRE(nothing);
  CHECK_FALSE(*nothing);
  REQUIRE_FALSE(db.write_meta("clock", std::string_view{"\0\1", 2}));
  REQUIRE_FALSE(db.write_meta("vote", ""));
  REQUIRE_FALSE(db.write_meta("clock", "2"));
  CHECK(**db.read_meta("clock") == "2");
  CHECK((**db.read_meta("vote")).empty());
  CHECK(db.stats().keys == 0);
}

TEMPLATE_TEST_CASE("keys of any length and bytes, empty and large values are kept", "",
                   memory_fixture, leveldb_fixture) {
  TestType fixture;
  auto& db = *fixture.db;
  std::string odd{"\0\xff\n", 3};
  std::string large(3 * 1024 * 1024, 'x');
  for (auto& key : {std::string{}, odd, std::string(250, 'k')})
    for (auto& value : {std::string{}, large}) {
      REQUIRE_FALSE(put(db, key, sample_record(1, value)));
      auto got = get(db, key);
      REQUIRE(got);
      CHECK((**got).versions.at(0).value.view() == value);
      CHECK(db.stats().exact);
    }
  CHECK(db.stats().keys == 3);
  CHECK(db.stats().bytes == 253 + 3 * large.size());
}

TEST_CASE("a footprint follows the latest version") {
  CHECK(footprint_of("key", record{}) == footprint{});
  CHECK(footprint_of("key", sample_record(1, "four")) == footprint{footprint::state::live, 7});
  auto mark = sample_record(1, "", true);
  CHECK(footprint_of("key", mark) == footprint{footprint::state::tombstone, 0});
  record other;
  version v;
  v.written = {8, 2};
  v.value = blob::copy_of("later");
  overwrite(other, v);
  CHECK(footprint_of("key", merge(mark, other)) == footprint{footprint::state::live, 8});
}
