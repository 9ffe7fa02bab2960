#include "protocol/topology.hpp"

#include <algorithm>
#include <chrono>
#include <functional>
#include <random>
#include <set>
#include <string>
#include <vector>

#include <catch2/catch.hpp>

#include "protocol/limits.hpp"
#include "protocol/topology_changes.hpp"
#include "test/support/arrived.hpp"

using namespace kai;

namespace {

member named(const std::string& name, const std::string& zone = {}) {
  member result;
  result.name = name;
  result.zone = zone;
  result.memcache_address = "mc-" + name + ":11211";
  result.cluster_address = "cl-" + name + ":11011";
  result.id = std::hash<std::string>{}(name) | 1;
  return result;
}

topology cluster_of(const std::vector<std::string>& names, cluster_settings settings = {}) {
  auto result = found(42, settings, named(names.front()));
  for (size_t i = 1; i < names.size(); ++i)
    result = arrived(*with_member(result, named(names[i])));
  return result;
}

std::string encoded(const topology& x) {
  std::string result;
  byte_writer out{result};
  encode(out, x);
  return result;
}

/// The order of preference by its words: walks the ring behind the partition.
std::vector<member_index> walked(const topology& x, partition_id partition) {
  auto result = x.holders_of(partition);
  auto add = [&](member_index m) {
    if (std::find(result.begin(), result.end(), m) == result.end())
      result.push_back(m);
  };
  auto add_staying = [&](member_index m) {
    if (stays(x.members[m].state))
      add(m);
  };
  for (size_t i = 1; i < x.replicas.size(); ++i)
    for (auto m : x.replicas[(partition + i) % x.replicas.size()])
      add_staying(m);
  for (size_t m = 0; m < x.members.size(); ++m)
    add_staying(static_cast<member_index>(m));
  for (size_t m = 0; m < x.members.size(); ++m)
    add(static_cast<member_index>(m));
  return result;
}

topology random_topology(std::mt19937& random) {
  topology x = found(42, {3, 2, 2, 1u << random() % 6}, named("0"));
  for (size_t i = random() % 9; i > 0; --i)
    x.members.push_back(named(std::to_string(i)));
  std::sort(x.members.begin(), x.members.end(), [](auto& a, auto& b) { return a.name < b.name; });
  auto some = [&] {
    replica_list list;
    for (size_t m = 0; m < x.members.size(); ++m)
      list.push_back(static_cast<member_index>(m));
    std::shuffle(list.begin(), list.end(), random);
    list.resize(std::min<size_t>(list.size(), 1 + random() % 3));
    return list;
  };
  for (auto& m : x.members)
    m.state = static_cast<member_state>(1 + random() % 5);
  // Often few members hold everything, so that some are in no list.
  auto few = some();
  for (auto& list : x.replicas)
    list = random() % 3 ? few : some();
  for (size_t p = 0; p < x.replicas.size(); ++p)
    if (random() % 4 == 0)
      x.moves.push_back({static_cast<partition_id>(p), some()});
  return x;
}

} // namespace

TEST_CASE("the order of preference is that of the ring") {
  std::mt19937 random{4711};
  for (int round = 0; round < 500; ++round) {
    auto x = random_topology(random);
    std::vector<member_index> expected;
    for (size_t p = 0; p < x.replicas.size(); ++p)
      for (auto m : walked(x, static_cast<partition_id>(p)))
        expected.push_back(m);
    REQUIRE(x.preferences() == expected);
  }
}

TEST_CASE("the order of preference of many partitions takes no longer while a member comes") {
  auto x = cluster_of({"a", "b", "c", "d", "e"}, {3, 2, 2, limits::partitions_max});
  x = *with_member(x, named("f"));
  // A walk around the ring for each partition would be three billion steps.
  auto start = std::chrono::steady_clock::now();
  auto order = x.preferences();
  CHECK(std::chrono::steady_clock::now() - start < std::chrono::seconds{2});
  CHECK(order.size() == size_t{limits::partitions_max} * 6);
}

TEST_CASE("a cluster is founded with one member that owns everything") {
  auto x = found(42, {3, 2, 2, 64}, named("a"));
  CHECK_FALSE(validate(x));
  CHECK(x.epoch == 1);
  CHECK(x.cluster_id == 42);
  CHECK(x.replicas == std::vector<replica_list>(64, {0}));
  CHECK(x.members[0].state == member_state::up);
}

TEST_CASE("what is no topology is told apart, and why") {
  const auto good = cluster_of({"a", "b", "c", "d"}, {3, 2, 2, 16});
  REQUIRE_FALSE(validate(good));
  auto reason = [&](auto change) {
    auto x = good;
    change(x);
    auto err = validate(x);
    CHECK((!err || err == errc::malformed));
    // Neither can it be changed into something that passes for one.
    CHECK_FALSE(with_member(x, named("new")));
    CHECK_FALSE(with_leaving(x, "a", all_alive, true));
    CHECK_FALSE(with_removed(x, "a", std::vector<bool>(x.members.size()), true));
    CHECK_FALSE(with_changes_undone(x));
    return message_of(err);
  };
  using Catch::Contains;
  CHECK_THAT(reason([](topology& x) { x = {}; }), Contains("no epoch"));
  CHECK_THAT(reason([](topology& x) { x.settings.partitions = 24; }), Contains("power of two"));
  CHECK_THAT(reason([](topology& x) { x.settings.partitions = 0; }), Contains("power of two"));
  CHECK_THAT(reason([](topology& x) { x.settings.partitions = 65536; }), Contains("power of two"));
  CHECK_THAT(reason([](topology& x) { x.settings.partitions = 32; }), Contains("16 replica lists"));
  CHECK_THAT(reason([](topology& x) { x.settings.replicas = 0; }), Contains("replicas is 0"));
  CHECK_THAT(reason([](topology& x) { x.settings.replicas = 17; }), Contains("replicas is 17"));
  CHECK_THAT(reason([](topology& x) { x.settings.read_quorum = 4; }), Contains("read quorum is 4"));
  CHECK_THAT(reason([](topology& x) { x.settings.read_quorum = 0; }), Contains("read quorum is 0"));
  CHECK_THAT(reason([](topology& x) { x.settings.write_quorum = 4; }), Contains("write quorum"));
  CHECK_THAT(reason([](topology& x) { x.settings.write_quorum = 0; }), Contains("write quorum"));
  CHECK_THAT(reason([](topology& x) { x.members.clear(); }), Contains("no members"));
  CHECK_THAT(reason([](topology& x) { x.members.resize(1025, x.members[0]); }), Contains("1025"));
  CHECK_THAT(reason([](topology& x) { std::swap(x.members[0], x.members[1]); }),
             Contains("sorted by name"));
  CHECK_THAT(reason([](topology& x) { x.members[1].name = "a"; }), Contains("'a' is listed twice"));
  CHECK_THAT(reason([](topology& x) { x.members[1].state = member_state{0}; }), Contains("state"));
  CHECK_THAT(reason([](topology& x) { x.members[1].state = member_state{6}; }), Contains("state"));
  CHECK_THAT(reason([](topology& x) { x.members[1].id = x.members[0].id; }), Contains("node id"));
  CHECK_THAT(reason([](topology& x) { x.replicas.pop_back(); }), Contains("15 replica lists"));
  CHECK_THAT(reason([](topology& x) { x.replicas[5].pop_back(); }),
             Contains("partition 5 has 2 replicas, not 3"));
  CHECK_THAT(reason([](topology& x) {
               x.replicas[5] = {0, 1, 2, 3};
             }),
             Contains("partition 5 has 4 replicas"));
  CHECK_THAT(reason([](topology& x) {
               x.replicas[5] = {0, 1, 4};
             }),
             Contains("partition 5 names member 4 of 4"));
  CHECK_THAT(reason([](topology& x) {
               x.replicas[5] = {2, 1, 2};
             }),
             Contains("partition 5 names member 'c' twice"));
  CHECK_THAT(reason([](topology& x) {
               x.moves = {{3, {0}}};
             }),
             Contains("partition 3 is to move to a list that has 1 replicas, not 3"));
  CHECK_THAT(reason([](topology& x) {
               x.moves = {{3, x.replicas[3]}};
             }),
             Contains("partition 3 is to move to where it is"));
  CHECK_THAT(reason([](topology& x) {
               x.moves = {{3, {0, 1, 7}}};
             }),
             Contains("names member 7 of 4"));
  CHECK_THAT(reason([](topology& x) {
               auto other = x.replicas[0] == replica_list{3, 2, 1} ? replica_list{1, 2, 3}
                                                                   : replica_list{3, 2, 1};
               x.moves = {{1, other}, {0, other}};
             }),
             Contains("order of their partitions"));
  CHECK_THAT(reason([](topology& x) { x.changed_at.pop_back(); }), Contains("when its lists"));
  CHECK_THAT(reason([](topology& x) { x.changed_at[0] = x.epoch + 1; }), Contains("no epoch"));
  CHECK_THAT(reason([](topology& x) { x.changed_at[0] = 0; }), Contains("no epoch"));
  CHECK_THAT(reason([](topology& x) { x.flushed = {5, 5}; }), Contains("flush mark"));
}

TEST_CASE("a flush mark counts once its time has come, and never less than before") {
  auto x = with_flush(cluster_of({"a"}), 100, 200);
  CHECK(x.epoch == 2);
  CHECK(x.flushed == flush_marks{100, 0});
  CHECK_FALSE(validate(x));
  CHECK(with_flush(x, 50, 200).flushed == flush_marks{100, 0});
  CHECK(with_flush(x, 200, 200).flushed == flush_marks{200, 0});

  auto waiting = with_flush(x, 300, 200);
  CHECK_FALSE(validate(waiting));
  CHECK(waiting.flushed == flush_marks{100, 300});
  CHECK(waiting.flushed.at(299) == 100);
  CHECK(waiting.flushed.at(300) == 300);

  // Replaced while it waits, by a later, an earlier and an immediate one.
  CHECK(with_flush(waiting, 400, 200).flushed == flush_marks{100, 400});
  CHECK(with_flush(waiting, 250, 200).flushed == flush_marks{100, 250});
  CHECK(with_flush(waiting, 210, 210).flushed == flush_marks{210, 0});

  // Kept once its time has come, whatever the next mark is.
  CHECK(with_flush(waiting, 400, 300).flushed == flush_marks{300, 400});
  CHECK(with_flush(waiting, 250, 300).flushed == flush_marks{300, 0});
  CHECK(with_flush(waiting, 310, 310).flushed == flush_marks{310, 0});

  // A clock behind the one that set the mark: what is reached stays so.
  auto behind = with_flush(x, 90, 80);
  CHECK(behind.flushed == flush_marks{100, 0});
  CHECK_FALSE(validate(behind));
}

TEST_CASE("a flush is near from its lead on until its time has come") {
  const flush_marks marks{100, 300};
  CHECK_FALSE(marks.is_near(269, 30));
  CHECK(marks.is_near(270, 30));
  CHECK(marks.is_near(299, 30));
  CHECK_FALSE(marks.is_near(300, 30));
  CHECK_FALSE(flush_marks{100, 0}.is_near(90, 30));
}

TEST_CASE("a topology reads as it was written") {
  for (auto x : {cluster_of({"a"}), cluster_of({"a", "b", "c", "d", "e"}, {3, 2, 2, 1024}),
                 planned(*with_member(cluster_of({"a", "b", "c"}), named("d"))),
                 with_flush(with_flush(cluster_of({"x", "y"}), 5, 9), 20, 10)}) {
    x.members[0].zone = "z";
    x.members[0].state = x.members.size() > 1 ? member_state::leaving : member_state::joining;
    auto bytes = encoded(x);
    byte_reader in{bytes};
    CHECK(decode_topology(in) == x);
    CHECK(in.done());
  }
}

TEST_CASE("a topology that was cut short is refused") {
  auto bytes =
      encoded(planned(*with_member(cluster_of({"a", "b", "c"}, {3, 2, 2, 16}), named("d"))));
  for (size_t n = 0; n < bytes.size(); ++n) {
    byte_reader in{std::string_view{bytes}.substr(0, n)};
    REQUIRE(decode_topology(in) == topology{});
    REQUIRE_FALSE(in.ok());
  }
}

TEST_CASE("damaged bytes are refused or are another valid topology") {
  const auto bytes =
      encoded(planned(*with_member(cluster_of({"a", "b", "c"}, {3, 2, 2, 16}), named("d"))));
  size_t refused = 0;
  for (uint64_t seed = 0; seed < 5'000; ++seed) {
    INFO("seed " << seed);
    std::mt19937_64 random{seed};
    auto damaged = bytes;
    for (auto n = 1 + random() % 4; n > 0; --n) {
      auto at = random() % damaged.size();
      switch (random() % 3) {
      case 0: damaged[at] = static_cast<char>(random()); break;
      case 1: damaged.insert(at, 1, static_cast<char>(random())); break;
      default: damaged.erase(at, 1);
      }
    }
    byte_reader in{damaged};
    auto x = decode_topology(in);
    if (in.ok())
      REQUIRE_FALSE(validate(x));
    else
      REQUIRE(x == topology{});
    refused += in.ok() ? 0 : 1;
  }
  CHECK(refused > 3'000);
}
