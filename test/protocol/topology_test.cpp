#include "protocol/topology.hpp"

#include <algorithm>
#include <functional>
#include <random>
#include <set>
#include <string>
#include <vector>

#include <catch2/catch.hpp>

#include "protocol/limits.hpp"

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
    result = *with_member(result, named(names[i]));
  return result;
}

std::string encoded(const topology& x) {
  std::string result;
  byte_writer out{result};
  encode(out, x);
  return result;
}

/// Names instead of indices, to compare lists of topologies with different members.
std::vector<std::set<std::string>> holders(const topology& x) {
  std::vector<std::set<std::string>> result;
  for (const auto& list : x.replicas) {
    auto& names = result.emplace_back();
    for (auto m : list)
      names.insert(x.members[m].name);
  }
  return result;
}

size_t replicas_moved(const topology& before, const topology& after) {
  auto old = holders(before);
  auto now = holders(after);
  size_t result = 0;
  for (size_t p = 0; p < now.size(); ++p)
    for (const auto& name : now[p])
      result += old[p].count(name) == 0 ? 1 : 0;
  return result;
}

std::string refusal(const caf::expected<topology>& x) {
  if (x)
    return "";
  CHECK(x.error() == errc::refused);
  return message_of(x.error());
}

} // namespace

TEST_CASE("a cluster is founded with one member that owns everything") {
  auto x = found(42, {3, 2, 2, 64}, named("a"));
  CHECK_FALSE(validate(x));
  CHECK(x.epoch == 1);
  CHECK(x.cluster_id == 42);
  CHECK(x.replicas == std::vector<replica_list>(64, {0}));
  CHECK(x.members[0].state == member_state::up);
}

TEST_CASE("quorums are cut to the number of members") {
  auto x = found(42, {5, 4, 3, 16}, named("a"));
  CHECK(x.replicas_now() == 1);
  CHECK(x.read_quorum_now() == 1);
  CHECK(x.write_quorum_now() == 1);
  x = cluster_of({"a", "b", "c", "d", "e", "f"}, {5, 4, 3, 16});
  CHECK(x.replicas_now() == 5);
  CHECK(x.read_quorum_now() == 4);
  CHECK(x.write_quorum_now() == 3);
}

TEST_CASE("members stay sorted by name, and lists follow when indices shift") {
  auto before = cluster_of({"m", "p", "t", "x"});
  for (auto name : {"a", "n", "z"}) {
    auto after = *with_member(before, named(name));
    REQUIRE_FALSE(validate(after));
    CHECK(after.epoch == before.epoch + 1);
    CHECK(after.members.size() == 5);
    CHECK(after.find(name)->state == member_state::up);
    // 256 partitions, 3 replicas, 5 members: the newcomer's share and nothing else moves.
    CHECK(replicas_moved(before, after) <= 256 * 3 / 5 + 1);
    auto again = *without_member(after, name);
    REQUIRE_FALSE(validate(again));
    CHECK(again.epoch == after.epoch + 1);
    CHECK(again.members == before.members);
    CHECK(replicas_moved(after, again) <= 256 * 3 / 5 + 1);
  }
}

TEST_CASE("a newcomer with a member's name takes its place") {
  auto before = cluster_of({"a", "b", "c", "d"});
  auto wiped = named("b");
  wiped.id = 77;
  wiped.cluster_address = "elsewhere:5";
  wiped.state = member_state::joining;
  auto after = *with_member(before, wiped);
  CHECK_FALSE(validate(after));
  CHECK(after.epoch == before.epoch + 1);
  CHECK(after.replicas == before.replicas);
  CHECK(after.find("b")->id == 77);
  CHECK(after.find("b")->cluster_address == "elsewhere:5");
  CHECK(after.find("b")->state == member_state::up);
  CHECK(after.members.size() == 4);
}

TEST_CASE(
    "a newcomer that takes a member's place from another zone has the replicas planned anew") {
  auto before = found(1, {2, 1, 1, 64}, named("a", "left"));
  before = *with_member(before, named("b", "left"));
  before = *with_member(before, named("c", "right"));
  auto after = *with_member(before, named("b", "right"));
  CHECK_FALSE(validate(after));
  auto a = static_cast<member_index>(after.find("a") - after.members.data());
  for (const auto& list : after.replicas)
    CHECK(std::count(list.begin(), list.end(), a) == 1);
}

TEST_CASE("a newcomer that is not fit to be a member is refused with the reason") {
  auto now = cluster_of({"a", "b"});
  auto attempt = [&](auto change) {
    auto x = named("new");
    change(x);
    return refusal(with_member(now, x));
  };
  using Catch::Contains;
  CHECK(attempt([](member&) {}) == "");
  CHECK_THAT(attempt([](member& x) { x.name = ""; }), Contains("has no name"));
  CHECK_THAT(attempt([](member& x) { x.name = "with space"; }), Contains("'with space'"));
  CHECK_THAT(attempt([](member& x) { x.name = "line\nbreak"; }), Contains("'line?break'"));
  CHECK_THAT(attempt([](member& x) { x.name.assign(256, 'x'); }), Contains("255 bytes"));
  CHECK(attempt([](member& x) { x.name.assign(255, 'x'); }) == "");
  CHECK_THAT(attempt([](member& x) { x.zone.assign(256, 'x'); }), Contains("zone"));
  CHECK_THAT(attempt([](member& x) { x.zone = "\x7f"; }), Contains("zone"));
  CHECK_THAT(attempt([](member& x) { x.cluster_address = "cl-a:11011"; }),
             Contains("cluster address of another member, cl-a:11011"));
  for (auto address : {"", "host", ":1", "host:", "host:0", "host:65536", "host:1x", "ho st:1"})
    CHECK_THAT(attempt([&](member& x) { x.cluster_address = address; }), Contains("HOST:PORT"));
  CHECK(attempt([](member& x) { x.cluster_address = "[::1]:65535"; }) == "");
  CHECK_THAT(attempt([](member& x) { x.memcache_address = "a b"; }), Contains("memcache address"));
  CHECK_THAT(attempt([](member& x) { x.id = 0; }), Contains("no node id"));
  CHECK_THAT(attempt([](member& x) { x.id = named("a").id; }), Contains("node id of another"));
}

TEST_CASE("a full cluster refuses one more member") {
  auto now = found(42, {1, 1, 1, 1}, named("0"));
  for (size_t i = 1; i < limits::members_max; ++i)
    now.members.push_back(named(std::to_string(i)));
  std::sort(now.members.begin(), now.members.end(),
            [](const auto& a, const auto& b) { return a.name < b.name; });
  REQUIRE_FALSE(validate(now));
  CHECK_THAT(refusal(with_member(now, named("one-more"))), Catch::Contains("more than 1024"));
  CHECK(with_member(now, named("17")));
}

TEST_CASE("the last member and unknown ones can not be taken out") {
  auto now = cluster_of({"a", "b"});
  CHECK_THAT(refusal(without_member(now, "c")), Catch::Contains("no member 'c'"));
  auto one = *without_member(now, "a");
  CHECK(one.replicas == std::vector<replica_list>(256, {0}));
  CHECK_THAT(refusal(without_member(one, "b")), Catch::Contains("last member"));
  now.members[0].state = member_state::leaving;
  CHECK_THAT(refusal(without_member(now, "b")), Catch::Contains("are leaving"));
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
    CHECK_FALSE(without_member(x, "a"));
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
  CHECK_THAT(reason([](topology& x) { x.members[1].state = member_state{4}; }), Contains("state"));
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

TEST_CASE("a topology reads as it was written") {
  for (auto x : {cluster_of({"a"}), cluster_of({"a", "b", "c", "d", "e"}, {3, 2, 2, 1024}),
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
  auto bytes = encoded(cluster_of({"a", "b", "c"}, {3, 2, 2, 16}));
  for (size_t n = 0; n < bytes.size(); ++n) {
    byte_reader in{std::string_view{bytes}.substr(0, n)};
    REQUIRE(decode_topology(in) == topology{});
    REQUIRE_FALSE(in.ok());
  }
}

TEST_CASE("damaged bytes are refused or are another valid topology") {
  const auto bytes = encoded(cluster_of({"a", "b", "c", "d"}, {3, 2, 2, 16}));
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
