#include "actors/admin_changes.hpp"

#include <catch2/catch.hpp>

#include "test/support/arrived.hpp"

using namespace kai;
using namespace std::chrono_literals;
using Catch::Contains;
using json = nlohmann::ordered_json;

namespace {

/// Each name is that of a member; what stands before a slash is its zone.
topology cluster_of(const std::vector<std::string>& names) {
  topology result;
  for (auto& x : names) {
    member m;
    auto slash = x.find('/');
    m.name = slash == std::string::npos ? x : x.substr(slash + 1);
    m.zone = slash == std::string::npos ? "" : x.substr(0, slash);
    m.memcache_address = m.name + ":11211";
    m.cluster_address = m.name + ":11011";
    m.id = result.members.size() + 1;
    if (result.members.empty())
      result = found(42, {3, 2, 2, 16}, std::move(m));
    else
      result = arrived(*with_member(result, std::move(m)));
  }
  return result;
}

json plan_of(const topology& x, const std::vector<std::string>& change, holdings held = {}) {
  std::vector<bool> alive;
  for (auto& m : x.members)
    alive.push_back(change[0] != "remove" || m.name != change[1]);
  auto next = changed_by(x, change, alive);
  REQUIRE(next);
  return plan_document(x, *next, held);
}

} // namespace

TEST_CASE("a plan says what moves, and who holds how much then") {
  auto x = cluster_of({"a", "b", "c"});
  // 48 replicas of partitions, three for each of 1,600 keys.
  auto plan = plan_of(x, {"join", "d:11011"}, {48, 4800, 480'000});
  CHECK(plan["partitions"] == 12);
  CHECK(plan["keys"] == 1200);
  CHECK(plan["bytes"] == 120'000);
  CHECK(plan["warnings"].empty());
  REQUIRE(plan["members"].size() == 4);
  for (auto& m : plan["members"]) {
    CHECK(m["partitions_then"] == 12);
    CHECK(m["leads_then"] == 4);
  }
}

TEST_CASE("a plan warns where members or zones are too few, and of a change under way") {
  struct row {
    std::vector<std::string> members;
    std::vector<std::string> change;
    std::vector<std::string> warnings;
  };
  for (auto& [members, change, warnings] : std::vector<row>{
           {{"a", "b", "c", "d"}, {"leave", "d"}, {}},
           {{"a", "b", "c"}, {"leave", "c"}, {"there would be 2 members for 3 replicas"}},
           {{"a", "b", "c"}, {"remove", "c"}, {"there would be 2 members for 3 replicas"}},
           {{"x/a", "y/b", "z/c", "z/d"}, {"leave", "d"}, {}},
           {{"x/a", "x/b", "y/c", "z/d"},
            {"leave", "d"},
            {"the replicas of 16 partitions share a zone: there are 2 zones for 3 replicas"}},
           {{"x/a", "x/b", "x/c", "x/d"},
            {"leave", "d"},
            {"the replicas of 16 partitions share a zone: there are 1 zones for 3 replicas"}},
           // One without a zone is a zone of its own.
           {{"x/a", "x/b", "c"}, {"join", "e:1"}, {}},
           {{"x/a", "x/b", "y/c"},
            {"leave", "c"},
            {"there would be 2 members for 3 replicas",
             "the replicas of 16 partitions share a zone: there are 1 zones for 3 replicas"}}}) {
    CAPTURE(members, change);
    CHECK(plan_of(cluster_of(members), change)["warnings"].get<std::vector<std::string>>() ==
          warnings);
  }
  auto x = *with_leaving(cluster_of({"a", "b", "c", "d"}), "d", all_alive, false);
  CHECK_THAT(plan_of(x, {"join", "e:1"})["warnings"].dump(),
             Contains("a change is under way already: d is leaving"));
}

TEST_CASE("each member that a partition is on its way to has a move of its own") {
  auto x = cluster_of({"a", "b", "c"});
  x.members.push_back(x.members[2]);
  x.members.push_back(x.members[2]);
  x.members[3].name = "d";
  x.members[4].name = "e";
  x.replicas[5] = {0, 1, 2};
  x.moves = {{5, {3, 1, 4}}, {6, {x.replicas[6][0], x.replicas[6][1], x.replicas[6][2], 3}}};
  std::vector<arrivals> reports(5);
  reports[3].done = {{5, 0.25}, {6, 1}};
  auto moves = moves_document(x, reports);
  REQUIRE(moves.size() == 3);
  CHECK(moves[0] == json{{"partition", 5}, {"from", "a"}, {"to", "d"}, {"done", 0.25}});
  CHECK(moves[1] == json{{"partition", 5}, {"from", "c"}, {"to", "e"}, {"done", 0.0}});
  CHECK(moves[2] == json{{"partition", 6}, {"from", nullptr}, {"to", "d"}, {"done", 1.0}});
}

TEST_CASE("progress adds up what the members say of what comes to them") {
  auto at_rest = cluster_of({"a", "b", "c"});
  auto x = at_rest;
  x.members.push_back(x.members[2]);
  x.members[3].name = "d";
  for (partition_id p = 0; p < 4; ++p) {
    x.replicas[p] = {0, 1, 2};
    x.moves.push_back({p, {0, 1, 3}});
  }
  std::vector<arrivals> reports(4);
  change_progress past;
  past.see(at_rest, 1s);
  CHECK(progress_document(at_rest, reports, past, 2s) == nullptr);
  past.see(x, 10s);
  CHECK(progress_document(x, reports, past, 12s) == json{{"partitions", 4},
                                                         {"done", 0.0},
                                                         {"bytes_per_second", 0},
                                                         {"remaining_seconds", nullptr}});
  reports[3] = {x.epoch, {{0, 1.0}, {1, 0.5}}, 1000};
  reports[0].bytes_per_second = 200;
  CHECK(progress_document(x, reports, past, 16s) == json{{"partitions", 4},
                                                         {"done", 0.375},
                                                         {"bytes_per_second", 1200},
                                                         {"remaining_seconds", 10}});
}

TEST_CASE("progress does not go back where a member has the next topology already") {
  auto at_rest = cluster_of({"a", "b", "c"});
  auto x = at_rest;
  x.epoch = 7;
  x.members.push_back(x.members[2]);
  x.members[3].name = "d";
  for (partition_id p = 0; p < 4; ++p) {
    x.replicas[p] = {0, 1, 2};
    x.moves.push_back({p, {0, 1, 3}});
  }
  change_progress past;
  past.see(x, 1s);
  auto done = [&](uint64_t epoch, std::map<partition_id, double> named) {
    std::vector<arrivals> reports(4);
    reports[3] = {epoch, std::move(named), 0};
    return progress_document(x, reports, past, 2s)["done"].get<double>();
  };
  // It has not heard of the moves, then it has, then two are no moves any more, then none is.
  CHECK(done(6, {}) == 0);
  CHECK(done(7, {{0, 1.0}, {1, 1.0}, {2, 0.5}, {3, 0}}) == 0.625);
  CHECK(done(8, {{2, 0.5}, {3, 0}}) == 0.625);
  CHECK(done(9, {}) == 1);
}

TEST_CASE("what a member says of arrivals is taken as far as it makes sense") {
  auto x = arrivals_in(json::parse(R"({"arriving_epoch":5,"arriving":[[3,0.5],[7,1],[8,7]],
                                  "received_per_second":9})"));
  CHECK(x.epoch == 5);
  CHECK(x.done == std::map<partition_id, double>{{3, 0.5}, {7, 1}, {8, 1}});
  CHECK(x.bytes_per_second == 9);
  for (auto text : {"null", "{}", R"({"arriving":3})", R"({"arriving":[[]]})",
                    R"({"arriving":[["x",1]],"received_per_second":1})", "[1]"})
    CHECK(arrivals_in(json::parse(text)).done.empty());
}
