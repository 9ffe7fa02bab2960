#include <catch2/catch.hpp>

#include "actors/coordinator.hpp"
#include "test/support/local_cluster.hpp"

using namespace kai;
using namespace std::chrono_literals;
using kind = mutation_kind;

namespace {

template <class Call>
bool has(const call_batch& batch) {
  for (auto& x : batch.calls)
    if (std::holds_alternative<Call>(x.what))
      return true;
  return false;
}

/// Five nodes, and a key with its replicas and the two others, in its order.
struct world : local_cluster {
  world() : local_cluster{5, {3, 2, 2, 16}} {
    auto& view = *core(0).loop->view;
    for (auto x : view.preference(partition(key)))
      order.push_back(std::stoul(view.topo.members[x].name.substr(1)));
  }

  void down(std::initializer_list<size_t> places) {
    for (auto x : places)
      disconnect(order[x]);
    advance(100ms);
  }
  void up(std::initializer_list<size_t> places) {
    for (auto x : places)
      connect(order[x]);
    advance(3s);
  }

  /// The connection of node `of` to the replica breaks, and what was under way over it is lost.
  void lose(size_t of, size_t place) {
    auto& view = *core(of).loop->view;
    auto found = view.topo.find(name(place));
    auto peer = view.peers[static_cast<size_t>(found - view.topo.members.data())];
    auto& lost = at(replica(place));
    caf::anon_send(
        caf::actor_cast<caf::actor>(peer),
        caf::down_msg{lost.gateway.address(), caf::exit_reason::remote_link_unreachable});
  }

  size_t replica(size_t place) const { return order[place]; }
  size_t fallback(size_t i) const { return order[3 + i]; }
  std::string name(size_t place) const { return "n" + std::to_string(order[place]); }

  hint_report hints_at(size_t i) {
    hint_report sum;
    for (auto& x : core(i).vnodes)
      sum += ask<vnode_report>(x, report_atom::value)->hints;
    return sum;
  }
  uint64_t hints() {
    uint64_t sum = 0;
    for (size_t i = 0; i < size(); ++i)
      sum += hints_at(i).count();
    return sum;
  }

  /// A set through its first replica that reaches none of the others.
  void begin_set() {
    for (size_t i : {1, 2})
      at(replica(i)).swallow = has<store_call>;
    self->send(core(replica(0)).loop->take_coordinator(),
               request_list{{write(kind::set, key, "v")}});
    run();
  }

  response set(size_t at, const std::string& value) {
    return serve_one(at, write(kind::set, key, value));
  }
  std::string value_at(size_t i) {
    auto x = held_by(i, key);
    return x.empty() ? "nothing" : latest(x)->tombstone ? "deleted" : latest(x)->value.str();
  }

  const std::string key = "key";
  std::vector<size_t> order;
};

bool stored(const response& x) {
  auto y = std::get_if<outcome>(&x.what);
  return y && y->kind == outcome_kind::stored;
}

failed_answer failure_of(const response& x) {
  REQUIRE(std::holds_alternative<failed_answer>(x.what));
  return std::get<failed_answer>(x.what);
}

} // namespace

TEST_CASE(
    "with two of three replicas down a set goes to stand-ins, and to the two when they return") {
  world w;
  w.down({0, 1});
  REQUIRE(stored(w.set(w.fallback(0), "v")));
  CHECK(w.value_at(w.replica(2)) == "v");
  CHECK(w.hints_at(w.fallback(0)).held.at(w.name(0)).count == 1);
  CHECK(w.hints_at(w.fallback(1)).held.at(w.name(1)).count == 1);
  CHECK(w.value_at(w.replica(0)) == "nothing");
  // A stand-in's copy is no record of its own.
  CHECK(w.value_at(w.fallback(0)) == "nothing");
  w.up({0, 1});
  for (size_t i : {0, 1, 2})
    CHECK(w.held_by(w.replica(i), w.key) == w.held_by(w.replica(2), w.key));
  CHECK(w.value_at(w.replica(0)) == "v");
  CHECK(w.hints() == 0);
  CHECK(w.hints_at(w.fallback(0)).replayed == 1);
}

TEST_CASE("with all replicas down set and delete succeed, and what must see the key fails") {
  world w;
  REQUIRE(stored(w.set(w.replica(0), "old")));
  w.down({0, 1, 2});
  for (size_t i : {0, 1}) {
    REQUIRE(stored(w.set(w.fallback(i), "new")));
    auto why = failure_of(w.serve_one(w.fallback(i), w.write(kind::increment, w.key)));
    CHECK(why.unchanged);
    CHECK(failure_of(w.serve_one(w.fallback(i), w.read(w.key))).reason == errc::quorum_failed);
  }
  w.up({0, 1, 2});
  for (size_t i = 0; i < 5; ++i) {
    auto x = w.serve_one(i, w.read(w.key));
    REQUIRE(std::holds_alternative<record>(x.what));
    CHECK(latest(std::get<record>(x.what))->value.view() == "new");
  }
  CHECK(w.hints() == 0);
  w.down({0, 1, 2});
  auto gone = w.serve_one(w.fallback(1), w.write(kind::remove, w.key));
  REQUIRE(std::holds_alternative<outcome>(gone.what));
  CHECK(std::get<outcome>(gone.what).kind == outcome_kind::deleted);
  w.up({0, 1, 2});
  auto x = w.serve_one(0, w.read(w.key));
  CHECK(latest(std::get<record>(x.what))->tombstone);
}

TEST_CASE("a newer write at the same stand-in replaces the older one's hint") {
  world w;
  w.down({0, 1, 2});
  for (auto value : {"1", "2", "3"})
    REQUIRE(stored(w.set(w.fallback(0), value)));
  CHECK(w.hints_at(w.fallback(0)).count() == 1);
  CHECK(w.hints_at(w.fallback(0)).stored == 3);
  w.up({0, 1, 2});
  CHECK(w.value_at(w.replica(0)) == "3");
  CHECK(w.held_by(w.replica(0), w.key).versions.size() == 1);
}

TEST_CASE("where fewer than W nodes are left a write fails and did not happen") {
  world w;
  w.down({0, 1, 2, 3});
  auto why = failure_of(w.set(w.fallback(1), "v"));
  CHECK(why.reason == errc::quorum_failed);
  CHECK(why.unchanged);
  CHECK(w.hints_at(w.fallback(1)).count() == 0);
  CHECK(why.message == "0 of 3 replicas answered, 2 needed");
}

TEST_CASE("a leader that reaches nobody leaves the write to one that reaches W nodes") {
  world w;
  // All reach the first replica, and that one nobody, as one that was stopped for a while.
  w.down({1, 2, 3, 4});
  REQUIRE(stored(w.set(w.replica(1), "v")));
  CHECK(w.value_at(w.replica(0)) == "v");
  CHECK(w.value_at(w.replica(1)) == "v");
  auto why = failure_of(w.set(w.replica(0), "never"));
  CHECK(why.unchanged);
  w.up({1, 2, 3, 4});
  // Nobody could stand in for the third: replicas are compared.
  w.advance(5s);
  CHECK(w.value_at(w.replica(2)) == "v");
}

TEST_CASE("a replica that dies while it is written is stood in for") {
  world w;
  w.begin_set();
  CHECK(w.received<response_list>().empty());
  w.down({1, 2});
  auto got = w.received<response_list>();
  REQUIRE(got.size() == 1);
  CHECK(stored(got[0].responses.at(0)));
  CHECK(w.hints() == 2);
}

TEST_CASE(
    "a hint does not count for a replica that only the leader has lost, which is asked again") {
  world w;
  auto leader = w.replica(0);
  w.begin_set();
  for (size_t i : {1, 2}) {
    w.at(w.replica(i)).swallow = nullptr;
    w.lose(leader, i);
  }
  w.run();
  CHECK(w.received<response_list>().empty());
  w.advance(200ms);
  auto got = w.received<response_list>();
  REQUIRE(got.size() == 1);
  CHECK(stored(got[0].responses.at(0)));
  CHECK(w.hints() == 0);
  for (size_t i : {0, 1, 2})
    CHECK(w.value_at(w.replica(i)) == "v");
}

TEST_CASE("a set that others took for older before its replicas were asked again comes last") {
  world w;
  auto leader = w.replica(0);
  w.begin_set();
  // As a counter does that was decided on a value the leader of the set had not heard of.
  auto other = w.held_by(leader, w.key);
  version counted;
  counted.written = {4711, w.wall_now() + 1000};
  counted.value = blob::copy_of("14");
  overwrite(other, counted);
  for (size_t i : {1, 2}) {
    w.give(w.replica(i), w.key, other);
    w.at(w.replica(i)).swallow = nullptr;
    w.lose(leader, i);
  }
  w.advance(200ms);
  auto got = w.received<response_list>();
  REQUIRE(got.size() == 1);
  REQUIRE(stored(got[0].responses.at(0)));
  for (size_t i = 0; i < 5; ++i) {
    auto seen = std::get<record>(w.serve_one(i, w.read(w.key)).what);
    CHECK(latest(seen)->value.view() == "v");
    CHECK(cas_unique(seen) == std::get<outcome>(got[0].responses[0].what).cas);
  }
  CHECK(w.core(leader).loop->count.rewrites == 1);
}

TEST_CASE("a stand-in that dies too is stood in for by the next") {
  world w;
  w.down({0});
  w.at(w.fallback(0)).swallow = has<hint_call>;
  w.at(w.replica(2)).swallow = has<store_call>;
  w.self->send(w.core(w.replica(1)).loop->take_coordinator(),
               request_list{{w.write(kind::set, w.key, "v")}});
  w.run();
  w.down({3});
  CHECK(w.hints_at(w.fallback(1)).held.at(w.name(0)).count == 1);
  // The hint does not count as long as the other replica may answer.
  CHECK(w.received<response_list>().empty());
  w.down({2});
  auto got = w.received<response_list>();
  REQUIRE(got.size() == 1);
  CHECK(stored(got[0].responses.at(0)));
}

TEST_CASE("a write is answered within two seconds whoever is silent") {
  for (size_t silent = 1; silent <= 4; ++silent) {
    world w;
    for (size_t i = 0; i < silent; ++i)
      w.at(w.order[i]).swallow = [](call_batch& x) { return !x.calls.empty(); };
    auto began = w.wall_now();
    auto x = w.set(w.fallback(1), "v");
    CHECK(w.wall_now() - began <= 2'000'000);
    CHECK(stored(x) == (silent == 1));
    w.advance(2s);
    CHECK(state_of<coordinator_state>(w.core(w.fallback(1)).loop->take_coordinator()).outstanding ==
          0);
  }
}

TEST_CASE("a hint for a node that is no member goes to the replicas there are") {
  world w;
  record x;
  version v;
  v.written = {77, w.wall_now()};
  v.value = blob::copy_of("kept");
  overwrite(x, v);
  call c;
  c.partition = w.partition(w.key);
  c.key = blob::copy_of(w.key);
  c.what = hint_call{"ghost", x};
  c.changed_at = w.core(0).loop->view->topo.changed_at[c.partition];
  call_batch batch;
  batch.header.clock = w.wall_now();
  batch.calls.push_back(c);
  w.self->send(w.core(w.fallback(0)).gateway, std::move(batch));
  w.run();
  auto got = w.received<answer_batch>();
  REQUIRE(got.size() == 1);
  CHECK(std::holds_alternative<stored_answer>(got[0].answers.at(0).what));
  CHECK(w.hints() == 1);
  w.advance(3s);
  CHECK(w.hints() == 0);
  for (size_t i : {0, 1, 2})
    CHECK(w.value_at(w.replica(i)) == "kept");
}
