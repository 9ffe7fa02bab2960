#include "protocol/ring.hpp"

#include <algorithm>
#include <random>
#include <string>
#include <vector>

#include <catch2/catch.hpp>

using namespace kai;

namespace {

member numbered(size_t i) {
  auto digits = std::to_string(i);
  member result;
  result.name = "n" + std::string(4 - digits.size(), '0') + digits;
  result.cluster_address = "host" + digits + ":11011";
  result.memcache_address = "host" + digits + ":11211";
  result.id = i + 1;
  return result;
}

topology cluster_of(size_t members, cluster_settings settings) {
  auto result = found(7, settings, numbered(0));
  for (size_t i = 1; i < members; ++i)
    result = *with_member(result, numbered(i));
  return result;
}

template <class Range>
std::vector<member_index> as_list(const Range& xs) {
  return {xs.begin(), xs.end()};
}

} // namespace

TEST_CASE("a ring gives every partition's order of preference") {
  for (size_t members : {1, 2, 3, 7, 20})
    for (uint16_t replicas : {1, 3, 5}) {
      auto from = cluster_of(members, {replicas, 1, 1, 64});
      ring x{from};
      CHECK(x.epoch() == from.epoch);
      REQUIRE(x.partitions() == 64);
      for (partition_id p = 0; p < 64; ++p) {
        REQUIRE(as_list(x.preference(p)) == from.preference(p));
        REQUIRE(as_list(x.replicas(p)) == from.replicas[p]);
        auto both = as_list(x.replicas(p));
        both.insert(both.end(), x.fallbacks(p).begin(), x.fallbacks(p).end());
        REQUIRE(both == from.preference(p));
      }
    }
}

TEST_CASE("an order of preference is the replicas, then the others as the next lists name them") {
  auto from = cluster_of(5, {2, 1, 1, 4});
  from.replicas = {{0, 1}, {1, 2}, {0, 3}, {3, 1}};
  CHECK(from.preference(0) == std::vector<member_index>{0, 1, 2, 3, 4});
  CHECK(from.preference(1) == std::vector<member_index>{1, 2, 0, 3, 4});
  CHECK(from.preference(2) == std::vector<member_index>{0, 3, 1, 2, 4});
  CHECK(from.preference(3) == std::vector<member_index>{3, 1, 0, 2, 4});
  ring x{from};
  for (partition_id p = 0; p < 4; ++p)
    CHECK(as_list(x.preference(p)) == from.preference(p));
}

TEST_CASE("a ring keeps lists of different lengths apart, as while a member leaves") {
  auto from = cluster_of(3, {3, 2, 2, 2});
  from.members[2].state = member_state::leaving;
  from.replicas = {{0, 1}, {2, 1, 0}};
  REQUIRE_FALSE(validate(from));
  ring x{from};
  CHECK(as_list(x.replicas(0)) == std::vector<member_index>{0, 1});
  CHECK(as_list(x.fallbacks(0)) == std::vector<member_index>{2});
  CHECK(as_list(x.replicas(1)) == std::vector<member_index>{2, 1, 0});
  CHECK(x.fallbacks(1).empty());
}

TEST_CASE("a ring finds a key's partition by its hash") {
  ring x{cluster_of(3, {3, 2, 2, 256})};
  for (auto key : {"a", "b", "some longer key", ""})
    CHECK(x.partition_of(key) == partition_of(key_hash(key), 256));
}
