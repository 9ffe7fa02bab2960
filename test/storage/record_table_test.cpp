#include "storage/record_table.hpp"

#include <map>
#include <random>
#include <tuple>

#include <catch2/catch.hpp>

#include "protocol/hash.hpp"
#include "protocol/wire.hpp"

using namespace kai;

namespace {

blob item_of(std::string_view key, uint32_t head) {
  std::string bytes;
  byte_writer out{bytes};
  out.u32(head);
  out.bytes(key);
  return blob::copy_of(bytes);
}

uint32_t head_of(const blob& item) { return byte_reader{item.view()}.u32(); }

using model = std::map<std::pair<uint64_t, std::string>, uint32_t>;

void check_equal(record_table& table, const model& expected) {
  REQUIRE(table.size() == expected.size());
  std::multimap<uint64_t, std::string> in_order;
  uint64_t before = 0;
  for (auto at = table.lower_bound(0); !table.end(at); at = table.next(at)) {
    auto& slot = table[at];
    REQUIRE(slot.hash >= before);
    before = slot.hash;
    auto found = expected.find({slot.hash, std::string{record_table::key_of(slot.item)}});
    REQUIRE(found != expected.end());
    REQUIRE(found->second == head_of(slot.item));
    in_order.emplace(slot.hash, found->first.second);
  }
  REQUIRE(in_order.size() == expected.size());
}

// `spread` keeps that many of a hash's low bits and makes the rest 0 or 1: crowds and equal hashes.
void compare_with_map(unsigned segment_bits, unsigned spread, uint64_t seed) {
  INFO("segment bits " << segment_bits << ", spread " << spread << ", seed " << seed);
  std::mt19937_64 random{seed};
  record_table table{segment_bits};
  model expected;
  for (int i = 0; i < 6000; ++i) {
    auto n = random() % 1500;
    auto key = "k" + std::to_string(n);
    auto hash = spread == 64
                    ? key_hash(key)
                    : key_hash(key) % (1u << spread) | (n % 2 ? ~uint64_t{0} << spread : 0);
    // First mostly growth, then mostly removal.
    if (random() % 4 < (i < 3000 ? 3u : 1u)) {
      auto old = table.put(hash, item_of(key, static_cast<uint32_t>(i)));
      auto known = expected.find({hash, key});
      REQUIRE(old.empty() == (known == expected.end()));
      if (known != expected.end())
        REQUIRE(head_of(old) == known->second);
      expected[{hash, key}] = static_cast<uint32_t>(i);
    } else {
      REQUIRE(table.erase(hash, key).empty() == (expected.erase({hash, key}) == 0));
    }
    auto other = "k" + std::to_string(random() % 1500);
    REQUIRE((table.find(key_hash(other), other) != nullptr) ==
            (expected.count({key_hash(other), other}) > 0));
    if (i % 500 == 0)
      check_equal(table, expected);
    auto from = random();
    auto at = table.lower_bound(from);
    auto next = expected.lower_bound({from, ""});
    REQUIRE(table.end(at) == (next == expected.end()));
    if (next != expected.end())
      REQUIRE(table[at].hash == next->first.first);
  }
  check_equal(table, expected);
}

} // namespace

TEST_CASE("a record table holds what a map holds, in the order of hashes") {
  compare_with_map(0, 64, 11);
  compare_with_map(4, 64, 12);
  compare_with_map(10, 64, 13);
}

TEST_CASE("a record table bears crowded and equal hashes at both ends") {
  compare_with_map(0, 4, 14);
  compare_with_map(4, 10, 15);
}

TEST_CASE("a record table's slots are between a quarter and nine tenths used, and shrink") {
  record_table table{2};
  for (int i = 0; i < 20000; ++i) {
    auto key = std::to_string(i);
    table.put(key_hash(key), item_of(key, 0));
  }
  auto full = table.slot_bytes();
  CHECK(full < 20000 * sizeof(record_table::slot) * 14 / 10);
  for (int i = 0; i < 19900; ++i)
    table.erase(key_hash(std::to_string(i)), std::to_string(i));
  CHECK(table.slot_bytes() < full / 20);
}
