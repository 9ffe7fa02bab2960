#include "protocol/hash.hpp"

#include <string>

#include <catch2/catch.hpp>

using namespace kai;

TEST_CASE("the hash of a key never changes: data on disk lies by it") {
  CHECK(key_hash("") == 0x2d06800538d394c2);
  CHECK(key_hash("a") == 0xe6c632b61e964e1f);
  CHECK(key_hash("key") == 0xbbea0d63a05165e3);
  CHECK(key_hash("user:1234567890:profile") == 0xb9cd0e44e5b171d1);
  CHECK(key_hash(std::string(250, 'k')) == 0xcbe178154c5428f3);
}

TEST_CASE("the top bits of the hash choose the partition") {
  CHECK(partition_of(UINT64_MAX, 1) == 0);
  CHECK(partition_of(0, 1) == 0);
  CHECK(partition_of(UINT64_MAX, 32768) == 32767);
  CHECK(partition_of(0, 32768) == 0);
  CHECK(partition_of(0x8000000000000000, 2) == 1);
  CHECK(partition_of(0x7fffffffffffffff, 2) == 0);
  CHECK(partition_of(0xab00000000000000, 256) == 0xab);
  CHECK(partition_of(0x0002000000000000, 32768) == 1);
}

TEST_CASE("halving the partitions joins neighbours") {
  for (int i = 0; i < 100; ++i) {
    auto hash = key_hash("key" + std::to_string(i));
    for (uint32_t n = 2; n <= 32768; n *= 2)
      REQUIRE(partition_of(hash, n) / 2 == partition_of(hash, n / 2));
  }
}
