#include "protocol/routing.hpp"

#include <catch2/catch.hpp>

using namespace kai;
using namespace std::chrono_literals;

namespace {

using members = std::vector<member_index>;

/// Members 0 to 4; the key's replicas are 3, 0 and 4, and its fallbacks 1 and 2.
const members order{3, 0, 4, 1, 2};
const members replicas{3, 0, 4};

std::vector<bool> all_but(const members& dead) {
  std::vector<bool> result(5, true);
  for (auto x : dead)
    result[x] = false;
  return result;
}

} // namespace

TEST_CASE("the first live member in the order of preference leads") {
  struct row {
    members among, dead;
    per_place<member_index> tried;
    std::optional<member_index> leader;
  };
  const row table[] = {
      {order, {}, {}, 3},
      {order, {3}, {}, 0},
      {order, {}, {3}, 0},
      {order, {3}, {0}, 4},
      {order, {3, 0, 4}, {}, 1},
      {order, {3, 4}, {0}, 1},
      {order, {3, 0, 4, 1}, {}, 2},
      {order, {0, 1, 2, 3, 4}, {}, std::nullopt},
      {order, {3, 0, 4}, {1, 2}, std::nullopt},
      // Without the fallbacks, as for a write that must see the key.
      {replicas, {3, 0}, {}, 4},
      {replicas, {3, 0, 4}, {}, std::nullopt},
      {replicas, {3}, {0, 4}, std::nullopt},
  };
  for (auto& x : table)
    CHECK(choose_leader(x.among, all_but(x.dead), x.tried) == x.leader);
}

TEST_CASE("the next leader is asked for what did not happen, or may happen twice") {
  using time = time_budget::time;
  constexpr timestamp now = 1'000'000'000;
  constexpr timestamp soon = now + 300'000;
  constexpr timestamp far = now + 8'000'000;
  mutation set;
  mutation increment;
  increment.kind = mutation_kind::increment;
  mutation remove;
  remove.kind = mutation_kind::remove;
  struct row {
    const char* what;
    mutation write;
    bool silent, unchanged;
    timestamp until;
    time elapsed;
    bool asked;
    std::chrono::microseconds wait;
    timestamp above;
    bool contended = false, last = false, all_again = false;
  };
  constexpr bool says = false, silent = true, changed = false, unchanged = true, no = false;
  const row table[] = {
      {"what did not happen, as it was", set, says, unchanged, soon, 0ms, true, 0us, 0},
      {"whatever it is", increment, says, unchanged, soon, 200ms, true, 0us, 0},
      {"a connection that was not there", increment, silent, unchanged, far, 0ms, true, 0us, 0},
      {"too late", increment, says, unchanged, soon, 201ms, no, 0us, 0},
      {"too late", set, says, unchanged, soon, 951ms, no, 0us, 0},
      {"in time for a look", remove, says, unchanged, soon, 550ms, true, 0us, 0},
      {"without a look", remove, says, unchanged, soon, 551ms, true, 0us, now},
      {"without a look", remove, says, unchanged, soon, 950ms, true, 0us, now},
      {"too late", remove, says, unchanged, soon, 951ms, no, 0us, 0},
      {"it has decided, by its clock", set, says, changed, soon, 0ms, true, 0us, now + 1},
      {"it may decide yet", set, silent, changed, soon, 0ms, true, 0us, soon},
      {"the same", remove, silent, changed, soon, 700ms, true, 0us, soon},
      {"not twice", increment, says, changed, soon, 0ms, no, 0us, 0},
      {"not twice", increment, silent, changed, soon, 0ms, no, 0us, 0},
      {"its time is waited out", set, silent, changed, far, 650ms, true, 300ms, far},
      {"that would be too late", set, silent, changed, far, 651ms, no, 0us, 0},
      {"who answered needs no wait", set, says, changed, far, 651ms, true, 0us, now + 1},
      {"others were faster", remove, says, unchanged, soon, 0ms, true, 0us, 0, true},
      {"the last one is lost", remove, says, unchanged, soon, 0ms, true, 0us, 0, false, true},
      {"at all of them", remove, says, unchanged, soon, 0ms, true, 0us, now, true, true, true},
      {"at all of them", remove, says, unchanged, soon, 950ms, true, 0us, now, true, true, true},
      {"at all of them", remove, says, unchanged, soon, 951ms, no, 0us, 0, true, true},
      {"at all of them", remove, says, changed, soon, 0ms, true, 0us, now + 1, true, true},
      {"at all of them", increment, says, unchanged, soon, 0ms, true, 0us, 0, true, true},
  };
  for (auto& x : table) {
    CAPTURE(x.what, x.elapsed.count());
    lost_leader last;
    last.silent = x.silent;
    last.unchanged = x.unchanged;
    last.repeatable = repeatable(x.write);
    last.contended = x.contended;
    last.last = x.last;
    last.decides = {x.until, soon};
    last.now = now;
    last.wall_now = now;
    auto next = ask_next_leader(last, {x.write, false}, x.elapsed);
    REQUIRE(next.has_value() == x.asked);
    if (!next)
      continue;
    CHECK(next->wait == x.wait);
    CHECK(next->above == x.above);
    CHECK(next->all_again == x.all_again);
  }
}

TEST_CASE("a write is begun only where W nodes are alive") {
  CHECK(enough_alive(all_but({}), 2));
  CHECK(enough_alive(all_but({0, 1, 3}), 2));
  CHECK_FALSE(enough_alive(all_but({0, 1, 3, 4}), 2));
  CHECK_FALSE(enough_alive(all_but({0, 1, 2, 3, 4}), 1));
  CHECK_FALSE(enough_alive({true, true}, 3));
}

TEST_CASE("no write is begun that would count hints for replicas that may be alive") {
  struct row {
    members dead, unsure;
    bool may;
  };
  const row table[] = {
      {{}, {}, true},
      {{0}, {0}, true},
      {{0, 4}, {}, true},
      {{0, 4}, {4}, false},
      {{0, 4}, {0, 4}, false},
      {{1, 2}, {1, 2}, true},
      {{0, 3, 4}, {}, true},
      // Even with this one fewer than W would be alive.
      {{0, 3, 4}, {3}, true},
      {{0, 3, 4}, {0, 3}, false},
      {{0, 1, 2, 4}, {}, false},
  };
  for (auto& x : table) {
    std::vector<bool> unsure(5);
    for (auto y : x.unsure)
      unsure[y] = true;
    CHECK(may_begin(replicas, all_but(x.dead), unsure, 2) == x.may);
  }
}

TEST_CASE("as many leaders are tried as there can be replicas") {
  members many(limits::places_max + 1);
  for (size_t i = 0; i < many.size(); ++i)
    many[i] = static_cast<member_index>(i);
  std::vector<bool> alive(many.size(), true);
  per_place<member_index> tried;
  while (auto x = choose_leader(many, alive, tried))
    tried.push_back(*x);
  CHECK(tried.size() == limits::places_max);
}

TEST_CASE("each live fallback stands in once, in ring order") {
  struct row {
    members dead, expected;
  };
  const row table[] = {{{}, {1, 2}}, {{3, 0}, {1, 2}}, {{1}, {2}}, {{2}, {1}}, {{1, 2}, {}}};
  for (auto& x : table) {
    stand_ins fallbacks;
    members got;
    while (auto next = fallbacks.next(order, 3, all_but(x.dead)))
      got.push_back(*next);
    CHECK(got == x.expected);
    CHECK_FALSE(fallbacks.next(order, 3, all_but(x.dead)));
  }
  stand_ins nobody;
  CHECK_FALSE(nobody.next(order, 5, all_but({})));
}

TEST_CASE("a hint goes to its replica, or to W of those that took its place") {
  struct row {
    std::optional<member_index> target;
    members dead;
    members to;
    size_t needed;
  };
  const row table[] = {
      // For a replica: it waits for that one, whoever else is there.
      {0, {}, {0}, 1},
      {0, {3, 4}, {0}, 1},
      {0, {0}, {}, 0},
      // For a member that is no replica any more, dead or alive; and for no member.
      {1, {}, {3, 0, 4}, 2},
      {1, {1}, {3, 0, 4}, 2},
      {std::nullopt, {}, {3, 0, 4}, 2},
      {std::nullopt, {0}, {3, 4}, 2},
      {std::nullopt, {0, 4}, {}, 0},
  };
  for (auto& x : table) {
    auto got = route_hint(x.target, replicas, all_but(x.dead), 2);
    CHECK(members(got.to.begin(), got.to.end()) == x.to);
    CHECK(got.needed == x.needed);
  }
}

TEST_CASE("a member is looked for where it was, in turns with the seeds at which nobody is known") {
  topology known;
  for (auto* address : {"a:1", "b:1"}) {
    member x;
    x.name = x.cluster_address = address;
    known.members.push_back(x);
  }
  using list = std::vector<std::string>;
  struct row {
    list seeds;
    const topology* known;
    list tries;
  };
  const row table[] = {
      {{}, &known, {"a:1", "a:1", "a:1"}},
      // Those at which members are, and the node itself.
      {{"a:1", "b:1", "own:1"}, &known, {"a:1", "a:1", "a:1"}},
      {{"a:1", "x:1", "own:1", "y:1"}, &known, {"a:1", "x:1", "y:1", "a:1", "x:1"}},
      {{"b:2"}, &known, {"a:1", "b:2", "a:1", "b:2"}},
      // Nothing is known of the seeds.
      {{"x:1"}, nullptr, {"a:1", "a:1"}},
  };
  for (auto& x : table)
    for (size_t i = 0; i < x.tries.size(); ++i)
      CHECK(address_to_try("a:1", x.seeds, "own:1", x.known, i) == x.tries[i]);
}

TEST_CASE("a hint counts for a lost replica only when others have lost it too") {
  struct row {
    lost_replica seen;
    lost_step step;
  };
  // Same lists, alive, unsure, waited, time.
  const row table[] = {
      // The view does not say yet, or says that only this node has lost it.
      {{true, true, false, false, true}, lost_step::wait},
      {{true, false, true, false, true}, lost_step::wait},
      {{true, false, true, true, true}, lost_step::wait},
      {{true, false, false, false, true}, lost_step::count_hint},
      {{true, false, false, true, false}, lost_step::count_hint},
      {{true, true, false, true, true}, lost_step::ask_again},
      {{true, true, false, true, false}, lost_step::count_nothing},
      {{true, false, true, true, false}, lost_step::count_nothing},
      {{false, false, false, false, true}, lost_step::count_nothing},
      {{false, true, false, true, true}, lost_step::count_nothing},
  };
  for (auto& x : table)
    CHECK(next_step(x.seen) == x.step);
}
