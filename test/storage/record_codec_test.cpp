#include "storage/record_codec.hpp"

#include <catch2/catch.hpp>

#include "protocol/errc.hpp"
#include "test/storage/samples.hpp"

using namespace kai;
using namespace kai::test;

namespace {

std::string pack(partition_id partition, area where, std::string_view key, const record& x) {
  std::string result;
  pack_record(result, partition, where, key, x);
  return result;
}

bool damaged(partition_id partition, area where, std::string_view key, std::string_view bytes) {
  auto result = unpack_record(partition, where, key, blob::copy_of(bytes));
  return !result && result.error() == errc::damaged;
}

} // namespace

TEST_CASE("record bytes round-trip") {
  constexpr uint64_t seed = 1;
  INFO("seed " << seed);
  std::mt19937_64 random{seed};
  for (int i = 0; i < 2000; ++i) {
    auto x = random_record(random);
    auto key = "key" + std::to_string(i);
    auto bytes = pack(3, area::hint, key, x);
    auto back = unpack_record(3, area::hint, key, blob::copy_of(bytes));
    REQUIRE(back);
    CHECK(*back == x);
  }
}

TEST_CASE("a value that was unpacked shares the stored bytes") {
  auto stored = blob::copy_of(pack(3, area::data, "k", sample_record(9, "a value")));
  auto x = unpack_record(3, area::data, "k", stored);
  REQUIRE(x);
  auto* value = x->versions.at(0).value.data();
  CHECK(value > stored.data());
  CHECK(value < stored.data() + stored.size());
}

TEST_CASE("every flipped bit of a record is noticed") {
  constexpr uint64_t seed = 2;
  INFO("seed " << seed);
  std::mt19937_64 random{seed};
  for (int i = 0; i < 50; ++i) {
    auto bytes = pack(3, area::data, "key", random_record(random));
    for (size_t bit = 0; bit < bytes.size() * 8; ++bit) {
      auto flipped = bytes;
      flipped[bit / 8] ^= static_cast<char>(1 << bit % 8);
      INFO("bit " << bit);
      REQUIRE(damaged(3, area::data, "key", flipped));
    }
  }
}

TEST_CASE("truncation, growth and swapped bytes of a record are noticed") {
  std::mt19937_64 random{3};
  auto bytes = pack(3, area::data, "key", random_record(random));
  for (size_t size = 0; size < bytes.size(); ++size)
    CHECK(damaged(3, area::data, "key", std::string_view{bytes}.substr(0, size)));
  CHECK(damaged(3, area::data, "key", bytes + '\0'));
  for (size_t i = 0; i + 1 < bytes.size(); ++i) {
    auto swapped = bytes;
    std::swap(swapped[i], swapped[i + 1]);
    if (swapped != bytes)
      CHECK(damaged(3, area::data, "key", swapped));
  }
}

TEST_CASE("a record under another's key, partition or area is noticed") {
  auto bytes = pack(3, area::data, "key", sample_record(5, "x"));
  CHECK_FALSE(damaged(3, area::data, "key", bytes));
  CHECK(damaged(3, area::data, "kez", bytes));
  CHECK(damaged(3, area::data, "", bytes));
  CHECK(damaged(4, area::data, "key", bytes));
  CHECK(damaged(3, area::hint, "key", bytes));
}
