// long: each change that a topology can make, with its refusals
#include "protocol/topology_changes.hpp"

#include <algorithm>
#include <functional>
#include <set>
#include <string>
#include <vector>

#include <catch2/catch.hpp>

#include "protocol/limits.hpp"
#include "test/support/arrived.hpp"

using namespace kai;
using Catch::Contains;

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

std::vector<bool> all_but(const topology& x, const std::string& dead) {
  std::vector<bool> result;
  for (auto& m : x.members)
    result.push_back(m.name != dead);
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

std::vector<fill_report> nothing_filled(const topology& x) { return all_well(x, false); }

} // namespace

TEST_CASE("a newcomer is joining, and nothing is in force that it has not got") {
  auto before = cluster_of({"b", "c", "d"});
  auto first = *with_member(before, named("a"));
  REQUIRE_FALSE(validate(first));
  CHECK(first.find("a")->state == member_state::arriving);
  CHECK(first.moves.empty());
  CHECK(first.changed_at == before.changed_at);
  // One that somebody has no connection to gets nothing: a write could not reach it.
  auto unseen = nothing_filled(first);
  unseen[2].sees = {1, 2, 3};
  CHECK_FALSE(with_filled(first, unseen));
  auto then = planned(first);
  REQUIRE_FALSE(validate(then));
  CHECK(then.find("a")->state == member_state::joining);
  CHECK(holders(then) == holders(before));
  CHECK(then.moves.size() == 256 * 3 / 4);
  for (auto& x : then.moves)
    CHECK(then.changed_at[x.partition] == then.epoch);
  CHECK_FALSE(with_filled(then, nothing_filled(then)));
  auto after = arrived(then);
  REQUIRE_FALSE(validate(after));
  CHECK(after.moves.empty());
  CHECK(after.find("a")->state == member_state::up);
  CHECK(replicas_moved(before, after) == 256 * 3 / 4);
}

TEST_CASE("only the lists that change have a new version") {
  auto before = cluster_of({"b", "c", "d"}, {3, 2, 2, 64});
  auto then = planned(*with_member(before, named("a")));
  for (size_t p = 0; p < 64; ++p)
    CHECK((then.changed_at[p] == then.epoch) ==
          (then.target_of(static_cast<partition_id>(p)) != nullptr));
  auto flushed = with_flush(then, 1, 2);
  CHECK(flushed.changed_at == then.changed_at);
}

TEST_CASE("members stay sorted by name, and lists follow when indices shift") {
  auto before = cluster_of({"m", "p", "t", "x"});
  for (auto name : {"a", "n", "z"}) {
    auto after = arrived(*with_member(before, named(name)));
    REQUIRE_FALSE(validate(after));
    CHECK(after.members.size() == 5);
    CHECK(after.find(name)->state == member_state::up);
    // 256 partitions, 3 replicas, 5 members: the newcomer's share and nothing else moves.
    CHECK(replicas_moved(before, after) <= 256 * 3 / 5 + 1);
    auto leaving = *with_leaving(after, name, all_alive, false);
    CHECK(leaving.find(name)->state == member_state::leaving);
    CHECK(holders(leaving) == holders(after));
    auto again = arrived(leaving);
    REQUIRE_FALSE(validate(again));
    CHECK(again.members == before.members);
    CHECK(replicas_moved(after, again) <= 256 * 3 / 5 + 1);
  }
}

TEST_CASE("a newcomer with a member's name takes its place") {
  auto before = cluster_of({"a", "b", "c", "d"});
  auto wiped = named("b");
  wiped.id = 77;
  wiped.cluster_address = "elsewhere:5";
  auto after = *with_member(before, wiped);
  CHECK_FALSE(validate(after));
  CHECK(after.epoch == before.epoch + 1);
  CHECK(after.replicas == before.replicas);
  CHECK(after.moves.empty());
  CHECK(after.find("b")->id == 77);
  CHECK(after.find("b")->cluster_address == "elsewhere:5");
  CHECK(after.find("b")->state == member_state::up);
  CHECK(after.members.size() == 4);
  // What was agreed with the one before does not hold for this one.
  for (size_t p = 0; p < 256; ++p)
    CHECK((after.changed_at[p] == after.epoch) == (holders(after)[p].count("b") == 1));
}

TEST_CASE(
    "a newcomer that takes a member's place from another zone has the replicas planned anew") {
  auto before = found(1, {2, 1, 1, 64}, named("a", "left"));
  before = arrived(*with_member(before, named("b", "left")));
  before = arrived(*with_member(before, named("c", "right")));
  auto after = arrived(*with_member(before, named("b", "right")));
  CHECK_FALSE(validate(after));
  auto a = static_cast<member_index>(after.find("a") - after.members.data());
  for (const auto& list : after.replicas)
    CHECK(std::count(list.begin(), list.end(), a) == 1);
}

TEST_CASE("a member that says it is in another zone has the replicas planned for that") {
  auto before = found(1, {2, 1, 1, 64}, named("a", "left"));
  for (auto name : {"b", "c", "d"})
    before =
        arrived(*with_member(before, named(name, name == std::string{"d"} ? "right" : "left")));
  auto entry = *before.find("c");
  CHECK_THAT(refusal(with_entry(before, entry)), Contains("known"));
  entry.zone = "right";
  auto then = *with_entry(before, entry);
  CHECK_FALSE(validate(then));
  CHECK(then.replicas == before.replicas);
  CHECK_FALSE(then.moves.empty());
  auto after = arrived(then);
  CHECK(at_rest(after));
  for (const auto& list : after.replicas)
    CHECK(after.members[list[0]].zone != after.members[list[1]].zone);
  entry.id += 1;
  CHECK_THAT(refusal(with_entry(before, entry)), Contains("no member any more"));
  entry = *before.find("c");
  entry.zone.assign(256, 'x');
  CHECK_THAT(refusal(with_entry(before, entry)), Contains("zone"));
}

TEST_CASE("members that come back on each other's addresses keep them apart") {
  auto now = cluster_of({"a", "b", "c"});
  auto entry = *now.find("a");
  entry.cluster_address = now.find("b")->cluster_address;
  entry.memcache_address = "elsewhere:1";
  auto after = *with_entry(now, entry);
  CHECK_FALSE(validate(after));
  CHECK(after.find("a")->cluster_address == "cl-b:11011");
  CHECK(after.find("a")->memcache_address == "elsewhere:1");
  CHECK(after.find("b")->cluster_address == "cl-a:11011");
  CHECK(after.moves.empty());
  CHECK(after.changed_at == now.changed_at);
}

TEST_CASE("a newcomer that is not fit to be a member is refused with the reason") {
  auto now = cluster_of({"a", "b"});
  auto attempt = [&](auto change) {
    auto x = named("new");
    change(x);
    return refusal(with_member(now, x));
  };
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
  CHECK_THAT(refusal(with_member(now, named("one-more"))), Contains("more than 1024"));
  auto same = named("17");
  same.id = 1717;
  CHECK(with_member(now, same));
}

TEST_CASE("who may not leave is told why") {
  auto now = cluster_of({"a", "b", "c"});
  CHECK_THAT(refusal(with_leaving(now, "d", all_alive, false)), Contains("no member 'd'"));
  auto then = *with_leaving(now, "a", all_alive, false);
  CHECK_THAT(refusal(with_leaving(then, "a", all_alive, false)),
             Contains("on its way out already"));
  CHECK_THAT(refusal(with_leaving(then, "b", all_alive, false)), Contains("fewer than W=2"));
  CHECK_THAT(refusal(with_leaving(now, "a", all_but(now, "a"), true)), Contains("'a' is down"));
  then = *with_leaving(then, "b", all_alive, true);
  CHECK_THAT(refusal(with_leaving(then, "c", all_alive, true)),
             Contains("all members but 'c' are leaving"));
  auto alone = arrived(then);
  CHECK(alone.members.size() == 1);
  CHECK(alone.replicas == std::vector<replica_list>(256, {0}));
  CHECK_THAT(refusal(with_leaving(alone, "c", all_alive, true)), Contains("last member"));
}

TEST_CASE("only what is dead is removed, and not what may be the last to have something") {
  auto now = cluster_of({"a", "b", "c", "d"});
  CHECK_THAT(refusal(with_removed(now, "x", all_but(now, ""), false)), Contains("no member 'x'"));
  CHECK_THAT(refusal(with_removed(now, "b", all_but(now, ""), false)), Contains("alive"));
  CHECK_THAT(refusal(with_removed(now, "b", all_but(now, ""), true)), Contains("alive"));
  auto two_dead = all_but(now, "b");
  two_dead[2] = false;
  CHECK_THAT(refusal(with_removed(now, "b", two_dead, false)), Contains("may be at 'b' only"));
  auto then = *with_removed(now, "b", all_but(now, "b"), false);
  CHECK(holders(then) == holders(now));
  CHECK(then.find("b")->state == member_state::removed);
  CHECK_THAT(refusal(with_removed(then, "c", two_dead, false)), Contains("may be at 'c' only"));
  auto after = arrived(then);
  CHECK(after.members.size() == 3);
  for (auto& list : after.replicas)
    CHECK(list.size() == 3);

  // Forced, the lists are at once without it, and the rest is copied from who is left.
  auto forced = *with_removed(now, "b", two_dead, true);
  for (auto& names : holders(forced))
    CHECK(names.count("b") == 0);
  CHECK_FALSE(validate(forced));
  CHECK_FALSE(forced.find("b"));
  CHECK(forced.find("c")->state == member_state::up);
}

TEST_CASE("a member that others may reach is not taken for dead") {
  auto now = cluster_of({"a", "b", "c"});
  struct row {
    const char* what;
    std::vector<bool> alive, unsure;
    bool doubted;
  };
  for (auto& x : std::vector<row>{
           {"alive", {true, true, true}, {false, false, false}, false},
           {"dead for all", {true, false, true}, {false, false, false}, false},
           {"nobody else has said so", {true, false, true}, {false, true, false}, true},
           {"nobody else is there to ask", {true, false, false}, {false, true, true}, false},
           {"another one", {true, true, false}, {false, false, true}, false},
       }) {
    CAPTURE(x.what);
    auto doubt = doubt_of(now, "b", {x.alive, x.unsure});
    CHECK((doubt == errc::refused) == x.doubted);
    CHECK((x.doubted || !doubt));
    CHECK_FALSE(doubt_of(now, "x", {x.alive, x.unsure}));
  }
}

TEST_CASE("a newcomer takes a name of the cluster only where its member is dead") {
  auto now = cluster_of({"a", "b", "c"});
  auto other = named("b");
  other.id = 77;
  const reachability all{{true, true, true}, {false, false, false}};
  const reachability dead{{true, false, true}, {false, false, false}};
  const reachability unsure{{true, false, true}, {false, true, false}};
  CHECK_FALSE(objection_to(now, named("d"), "a", unsure));
  CHECK_FALSE(objection_to(now, other, "a", dead));
  auto why = [&](const member& x, const std::string& asked, const reachability& who) {
    auto err = objection_to(now, x, asked, who);
    CHECK(err == errc::refused);
    return message_of(err);
  };
  CHECK_THAT(why(*now.find("b"), "a", all), Contains("member already"));
  CHECK_THAT(why(other, "a", all), Contains("'b' is alive"));
  // It answers itself, whatever it knows of its own connections.
  CHECK_THAT(why(other, "b", dead), Contains("'b' is alive"));
  CHECK_THAT(why(other, "a", unsure), Contains("does not reach 'b'"));
}

TEST_CASE("the only copy that is removed by force leaves empty partitions elsewhere") {
  auto now = cluster_of({"a", "b"}, {1, 1, 1, 16});
  auto dead = all_but(now, "a");
  CHECK_THAT(refusal(with_removed(now, "a", dead, false)), Contains("would be lost"));
  auto after = arrived(*with_removed(now, "a", dead, true));
  CHECK(after.members.size() == 1);
  CHECK(after.replicas == std::vector<replica_list>(16, {0}));
}

TEST_CASE("what is under way can be taken back") {
  auto before = cluster_of({"a", "b", "c"}, {3, 2, 2, 64});
  CHECK_THAT(refusal(with_changes_undone(before)), Contains("no change"));
  auto arriving = *with_member(before, named("d"));
  CHECK(with_changes_undone(arriving)->find("d")->state == member_state::leaving);
  CHECK(arrived(*with_changes_undone(arriving)).members == before.members);
  auto joining = planned(arriving);
  auto undone = *with_changes_undone(joining);
  CHECK(undone.replicas == before.replicas);
  CHECK(undone.moves.empty());
  // It may have taken hints already, which have to come to others first.
  REQUIRE(undone.find("d"));
  CHECK(undone.find("d")->state == member_state::leaving);
  auto with_hints = nothing_filled(undone);
  with_hints[3].hints = 1;
  CHECK_FALSE(with_filled(undone, with_hints));
  CHECK(arrived(undone).members == before.members);

  // Half of it is there already: that has to go back.
  auto reports = nothing_filled(joining);
  for (auto& report : reports)
    for (auto& x : joining.moves)
      if (x.partition % 2)
        report.filled.emplace_back(x.partition, joining.changed_at[x.partition]);
  auto half = *with_filled(joining, reports);
  CHECK(half.find("d")->state == member_state::joining);
  auto back = *with_changes_undone(half);
  CHECK(back.find("d")->state == member_state::leaving);
  auto after = arrived(back);
  CHECK(after.members == before.members);
  CHECK(holders(after) == holders(before));

  auto leaving = *with_leaving(cluster_of({"a", "b", "c", "d"}), "c", all_alive, false);
  auto stays_after_all = *with_changes_undone(leaving);
  CHECK(stays_after_all.find("c")->state == member_state::up);
  CHECK(stays_after_all.moves.empty());
}

TEST_CASE("several at once are planned together, and each gets its share") {
  auto now = cluster_of({"a", "b", "c"});
  auto then = planned(*with_member(planned(*with_member(now, named("d"))), named("e")));
  CHECK_FALSE(validate(then));
  auto after = arrived(then);
  CHECK(after.members.size() == 5);
  // Two of five members hold two fifths.
  CHECK(replicas_moved(now, after) <= 256 * 3 * 2 / 5 + 2);
}

TEST_CASE("a target is in force when all of it that lives is filled, and W at least") {
  auto now = planned(*with_member(cluster_of({"a", "b", "c"}, {3, 2, 2, 1}), named("d")));
  if (now.moves.empty())
    now = *with_leaving(arrived(now), "a", all_alive, false);
  REQUIRE(now.moves.size() == 1);
  auto& target = now.moves[0].target;
  auto filled = [&](std::vector<size_t> places, uint64_t changed_at) {
    auto reports = nothing_filled(now);
    for (auto i : places)
      reports[target[i]].filled = {{0, changed_at}};
    return reports;
  };
  auto at = now.changed_at[0];
  CHECK_FALSE(with_filled(now, filled({0, 1}, at)));
  CHECK_FALSE(with_filled(now, filled({0, 1, 2}, at - 1)));
  CHECK(with_filled(now, filled({0, 1, 2}, at)));
  auto one_dead = filled({0, 1}, at);
  one_dead[target[2]].alive = false;
  CHECK(with_filled(now, one_dead));
  one_dead[target[1]].alive = false;
  CHECK_FALSE(with_filled(now, one_dead));
}

TEST_CASE("a member that leaves is out when nothing names it and it keeps no hints") {
  auto now = *with_leaving(cluster_of({"a", "b", "c", "d"}), "b", all_alive, false);
  auto reports = nothing_filled(now);
  for (auto& report : reports)
    for (auto& x : now.moves)
      report.filled.emplace_back(x.partition, now.changed_at[x.partition]);
  reports[1].hints = 3;
  auto still_there = *with_filled(now, reports);
  CHECK(still_there.moves.empty());
  REQUIRE(still_there.find("b"));
  CHECK_FALSE(with_filled(still_there, reports));
  // Nor while who asks does not see it, or it never answers again: then somebody has to say so.
  reports[1].hints = 0;
  reports[1].alive = false;
  CHECK_FALSE(with_filled(still_there, reports));
  auto given_up = *with_removed(still_there, "b", all_but(still_there, "b"), false);
  CHECK_FALSE(with_filled(given_up, reports)->find("b"));
  reports[1].alive = true;
  CHECK_FALSE(with_filled(still_there, reports)->find("b"));
}

TEST_CASE("so many sources are asked that none of the writes before can be at none of them") {
  auto now = cluster_of({"a", "b", "c", "d"}, {3, 2, 2, 1});
  CHECK(sources_needed(now, 0) == 2);
  now.settings.write_quorum = 1;
  now.settings.read_quorum = 3;
  CHECK(sources_needed(now, 0) == 3);
  now.members[now.replicas[0][1]].state = member_state::removed;
  CHECK(sources_needed(now, 0) == 2);
  now.settings.write_quorum = now.settings.read_quorum = 2;
  CHECK(sources_needed(now, 0) == 2);
}
