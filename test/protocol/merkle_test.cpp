#include "protocol/merkle.hpp"

#include <algorithm>
#include <map>
#include <random>

#include <catch2/catch.hpp>

using namespace kai;

namespace {

constexpr uint32_t some_partitions = 64;

/// A hash in partition 5.
uint64_t some_hash(std::mt19937_64& random) { return uint64_t{5} << 58 | random() >> 6; }

} // namespace

TEST_CASE("leaves cut a partition into ranges without gaps") {
  for (uint32_t partitions : {1u, 2u, 256u, 32768u}) {
    INFO(partitions << " partitions");
    std::mt19937_64 random{partitions};
    for (int i = 0; i < 200; ++i) {
      auto partition = static_cast<partition_id>(random() % partitions);
      auto leaf = static_cast<uint16_t>(random() % merkle_tree::leaf_count);
      auto first = first_hash_of(partition, leaf, partitions);
      auto last = last_hash_of(partition, leaf, partitions);
      REQUIRE(first < last);
      for (auto hash : {first, last, first + random() % (last - first)}) {
        REQUIRE(partition_of(hash, partitions) == partition);
        REQUIRE(merkle_leaf(hash, partitions) == leaf);
      }
      if (leaf + 1u < merkle_tree::leaf_count)
        REQUIRE(first_hash_of(partition, static_cast<uint16_t>(leaf + 1), partitions) == last + 1);
    }
  }
}

TEST_CASE("a tree kept current equals one made anew, in whatever order") {
  for (uint64_t seed = 1; seed <= 50; ++seed) {
    INFO("seed " << seed);
    std::mt19937_64 random{seed};
    std::vector<uint64_t> hashes;
    for (int i = 0; i < 100; ++i)
      hashes.push_back(some_hash(random));
    std::map<uint64_t, uint64_t> digests;
    merkle_tree kept;
    for (int i = 0; i < 500; ++i) {
      auto hash = hashes[random() % hashes.size()];
      // Some go again.
      auto after = random() % 4 == 0 ? 0 : random();
      kept.change(hash, some_partitions, digests[hash], after);
      digests[hash] = after;
    }
    std::shuffle(hashes.begin(), hashes.end(), random);
    merkle_tree fresh;
    for (auto hash : hashes)
      fresh.change(hash, some_partitions, 0, digests[hash]);
    REQUIRE(kept.leaves() == fresh.leaves());
    REQUIRE(kept.root() == fresh.root());
    REQUIRE(merkle_root(fresh.leaves()) == fresh.root());
    for (auto hash : hashes)
      fresh.change(hash, some_partitions, digests[hash], 0);
    REQUIRE(fresh.root() == 0);
  }
}

TEST_CASE("one record that differs changes its leaf and the root") {
  std::mt19937_64 random{7};
  merkle_tree a;
  for (int i = 0; i < 100; ++i)
    a.change(some_hash(random), some_partitions, 0, random());
  auto b = a;
  auto hash = some_hash(random);
  b.change(hash, some_partitions, 0, 1);
  CHECK(a.root() != b.root());
  for (uint16_t i = 0; i < merkle_tree::leaf_count; ++i)
    CHECK((a.leaves()[i] != b.leaves()[i]) == (i == merkle_leaf(hash, some_partitions)));
}
