#include "storage/record_cache.hpp"

#include <map>
#include <random>

#include <catch2/catch.hpp>

#include "protocol/hash.hpp"
#include "storage/caching_engine.hpp"
#include "test/storage/leveldb_fixture.hpp"
#include "test/storage/samples.hpp"

using namespace kai;
using namespace kai::test;

namespace {

blob key(int i) { return blob::copy_of("k" + std::to_string(i)); }

} // namespace

TEST_CASE("a record cache finds what was put last, and holds no more than it may") {
  constexpr size_t most = 64 * 1024;
  record_cache cache{most};
  CHECK_FALSE(cache.find("k1"));
  for (int i = 0; i < 1000; ++i) {
    cache.put(key(i), sample_record(static_cast<uint64_t>(i) + 1, std::string(100, 'x')));
    REQUIRE(cache.bytes() <= most);
    // In use all the time: it stays.
    REQUIRE(cache.find("k0"));
  }
  CHECK(cache.bytes() > most / 2);
  CHECK(cache.find("k999") == sample_record(1000, std::string(100, 'x')));
  CHECK_FALSE(cache.find("k1"));

  cache.put(key(999), sample_record(2000, "new"));
  CHECK(cache.peek("k999") == sample_record(2000, "new"));
  CHECK(cache.peek_digest("k999") == digest_of("k999", sample_record(2000, "new")));
  cache.put(key(999), {});
  CHECK_FALSE(cache.find("k999"));
  CHECK_FALSE(cache.peek_digest("k999"));

  // One that would drive out many others is not kept, and neither is what it replaces.
  cache.put(key(0), sample_record(3000, std::string(most / 64, 'x')));
  CHECK_FALSE(cache.find("k0"));
  cache.clear();
  CHECK(cache.bytes() == 0);
  CHECK_FALSE(cache.find("k998"));
}

TEST_CASE("a record cache in which everything is used still has room for what comes") {
  constexpr size_t most = 64 * 1024;
  record_cache cache{most};
  for (int i = 0; i < 1000; ++i) {
    cache.put(key(i), sample_record(static_cast<uint64_t>(i) + 1, std::string(100, 'x')));
    REQUIRE(cache.bytes() <= most);
    REQUIRE(cache.find(key(i).view()));
    for (int j = 0; j < i; ++j)
      cache.peek(key(j).view());
  }
  // Others grow where they are.
  for (int i = 0; i < 1000; ++i)
    cache.put(key(i), sample_record(static_cast<uint64_t>(i) + 2, std::string(500, 'y')));
  CHECK(cache.bytes() <= most);
  CHECK(cache.find("k999") == sample_record(1001, std::string(500, 'y')));
}

TEST_CASE("a record cache keeps no batch alive that a small value came in") {
  record_cache cache{1024 * 1024};
  auto batch = blob::copy_of(std::string(100'000, 'b'));
  auto value = sample_record(1, "");
  value.versions[0].value = batch.slice(5, 10);
  cache.put(batch.slice(20, 3), value);
  auto found = cache.find("bbb");
  REQUIRE(found);
  CHECK(found->versions[0].value.data() != batch.data() + 5);
  CHECK(found->versions[0].value == batch.slice(5, 10));
}

TEST_CASE("a record cache keeps its bound whatever is put, looked up and taken out") {
  for (size_t most : {16u * 1024, 300u * 1024, 2u * 1024 * 1024}) {
    record_cache cache{most};
    std::mt19937_64 random{most};
    std::map<int, record> stored;
    size_t hits = 0;
    for (int i = 0; i < 20'000; ++i) {
      auto k = static_cast<int>(random() % 2000);
      auto name = key(k);
      if (random() % 2 == 0) {
        auto value = random() % 8 == 0 ? record{}
                                       : sample_record(static_cast<uint64_t>(i) + 1,
                                                       std::string(random() % 600, 'v'));
        cache.put(name, value);
        stored[k] = value;
      } else if (random() % 4 == 0) {
        std::vector<uint64_t> hashes{key_hash(name.view()), random(), key_hash("absent")};
        cache.expect(hashes);
        cache.expect_write(name.view());
        CHECK_FALSE(cache.peek(name.view()));
        cache.find(name.view());
      }
      REQUIRE(cache.bytes() <= most);
      if (auto found = cache.peek(name.view())) {
        ++hits;
        REQUIRE(*found == stored.at(k));
        REQUIRE(cache.peek_digest(name.view()) == digest_of(name.view(), stored.at(k)));
      }
    }
    CHECK(hits > 0);
  }
}

TEST_CASE("other threads do not find a key whose write is on its way") {
  record_cache cache{1024 * 1024};
  cache.put(key(1), sample_record(1, "old"));
  cache.expect_write("k1");
  CHECK_FALSE(cache.peek("k1"));
  CHECK_FALSE(cache.peek_digest("k1"));
  SECTION("until it is written") { cache.put(key(1), sample_record(2, "new")); }
  SECTION("or the owner, who finds it, has decided against it") {
    CHECK(cache.find("k1") == sample_record(1, "old"));
  }
  CHECK(cache.peek("k1"));
}

TEST_CASE("an engine with a cache answers from it, and never what the disk did not take") {
  leveldb_fixture disk;
  REQUIRE_FALSE(disk.open());
  auto cache = std::make_shared<record_cache>(1024 * 1024);
  caching_engine db{std::move(disk.db), cache};
  auto partition = partition_for("k1");
  auto held = [&] { return *db.read(partition, area::data, "k1"); };

  REQUIRE_FALSE(put(db, "k1", sample_record(1, "a")));
  CHECK(cache->peek("k1") == sample_record(1, "a"));
  cache->clear();
  CHECK(held() == sample_record(1, "a"));
  CHECK(cache->peek("k1"));

  disk.env.fail_writes(true);
  CHECK(put(db, "k1", sample_record(2, "b")));
  CHECK_FALSE(cache->peek("k1"));
  CHECK(held() == sample_record(1, "a"));
  disk.env.fail_writes(false);

  // Hints of a key are not its record.
  write_batch hint;
  hint.put(partition, area::hint, blob::copy_of("k1"), sample_record(3, "c"));
  static_cast<void>(db.flush());
  REQUIRE_FALSE(db.write(hint));
  CHECK(held() == sample_record(1, "a"));

  write_batch removal;
  removal.remove(partition, area::data, blob::copy_of("k1"));
  REQUIRE_FALSE(db.write(removal));
  CHECK_FALSE(held());
  CHECK_FALSE(cache->peek("k1"));
}
