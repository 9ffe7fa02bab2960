// long: what a coordinator does in each kind of trouble, over clusters made here
#include "actors/coordinator.hpp"

#include <catch2/catch.hpp>

#include <caf/event_based_actor.hpp>

#include "test/support/local_cluster.hpp"

using namespace kai;
using namespace std::chrono_literals;
using kind = mutation_kind;

namespace {

outcome_kind outcome_of(const response& x) {
  if (auto why = std::get_if<failed_answer>(&x.what))
    FAIL(to_string(why->reason) << " " << why->message);
  REQUIRE(std::holds_alternative<outcome>(x.what));
  return std::get<outcome>(x.what).kind;
}

std::string value_of(const response& x) {
  if (auto why = std::get_if<failed_answer>(&x.what))
    FAIL(to_string(why->reason) << " " << why->message);
  auto found = latest(std::get<record>(x.what));
  return found && !found->tombstone ? found->value.str() : "nothing";
}

failed_answer failure_of(const response& x) {
  REQUIRE(std::holds_alternative<failed_answer>(x.what));
  return std::get<failed_answer>(x.what);
}

template <class Call>
bool has(const call_batch& batch) {
  for (auto& x : batch.calls)
    if (std::holds_alternative<Call>(x.what))
      return true;
  return false;
}

/// Every coordinator is back on the free list, no turn is taken.
void check_idle(local_cluster& c, size_t i) {
  c.advance(2s);
  auto& loop = *c.core(i).loop;
  auto x = loop.take_coordinator();
  CHECK(state_of<coordinator_state>(x).outstanding == 0);
  CHECK(state_of<coordinator_state>(x).operations.empty());
  CHECK(loop.take_turn(1, x, 0) == true);
  loop.end_turn(1);
  loop.give_back(x);
}

} // namespace

TEST_CASE("what is written through any node is read through every node") {
  local_cluster c{3};
  for (size_t i = 0; i < 3; ++i) {
    auto key = "key" + std::to_string(i);
    CHECK(outcome_of(c.serve_one(i, c.write(kind::set, key, "v" + std::to_string(i)))) ==
          outcome_kind::stored);
    for (size_t j = 0; j < 3; ++j) {
      CHECK(value_of(c.serve_one(j, c.read(key))) == "v" + std::to_string(i));
      CHECK(c.held_by(j, key) == c.held_by(0, key));
    }
  }
  CHECK(outcome_of(c.serve_one(2, c.write(kind::remove, "key0"))) == outcome_kind::deleted);
  CHECK(value_of(c.serve_one(1, c.read("key0"))) == "nothing");
  check_idle(c, 1);
}

TEST_CASE("requests of one batch are all answered, each under its tag") {
  local_cluster c{3};
  std::vector<request> requests;
  for (uint64_t i = 0; i < 40; ++i)
    requests.push_back(c.write(kind::set, "k" + std::to_string(i), std::to_string(i), i));
  CHECK(c.serve(0, requests).size() == 40);
  requests.clear();
  for (uint64_t i = 0; i < 40; ++i)
    requests.push_back(c.read("k" + std::to_string(i), i));
  auto got = c.serve(1, requests);
  for (uint64_t i = 0; i < 40; ++i)
    CHECK(value_of(got.at(i)) == std::to_string(i));
}

TEST_CASE("what several clients ask in one turn is one batch, and each gets its own responses") {
  local_cluster c{3};
  auto& loop = *c.core(0).loop;
  std::vector<std::vector<response>> got(3);
  std::vector<response_sink> clients;
  for (auto& x : got)
    clients.push_back(c.fake<response_sink>([&](caf::event_based_actor*) -> caf::behavior {
      return {[&](response_list& xs) {
        std::move(xs.responses.begin(), xs.responses.end(), std::back_inserter(x));
      }};
    }));
  // More than one coordinator takes at once.
  constexpr auto each = static_cast<uint64_t>(limits::batch_calls_max / 2 + 1);
  for (size_t i = 0; i < 3; ++i) {
    request_list list;
    for (uint64_t n = 0; n < each; ++n)
      list.requests.push_back(
          c.write(kind::set, std::to_string(i) + "/" + std::to_string(n), "v", 1000 * i + n));
    loop.submit(clients[i], nullptr, std::move(list));
  }
  c.run();
  for (size_t i = 0; i < 3; ++i) {
    REQUIRE(got[i].size() == each);
    for (auto& x : got[i]) {
      CHECK(x.tag / 1000 == i);
      CHECK(outcome_of(x) == outcome_kind::stored);
    }
  }
  check_idle(c, 0);
}

TEST_CASE("five nodes with three replicas serve keys that are not theirs") {
  local_cluster c{5, {3, 2, 2, 16}};
  for (int i = 0; i < 20; ++i) {
    auto key = "key" + std::to_string(i);
    auto at = static_cast<size_t>(i) % 5;
    CHECK(outcome_of(c.serve_one(at, c.write(kind::set, key, "1"))) == outcome_kind::stored);
    CHECK(std::get<outcome>(c.serve_one((at + 1) % 5, c.write(kind::increment, key)).what).number ==
          2);
    CHECK(value_of(c.serve_one((at + 2) % 5, c.read(key))) == "2");
  }
}

TEST_CASE("a read or write that can not reach its quorum fails and says so") {
  local_cluster c{3};
  c.serve_one(0, c.write(kind::set, "k", "v"));
  c.kill(1);
  c.advance(100ms);
  CHECK(value_of(c.serve_one(0, c.read("k"))) == "v");
  CHECK(outcome_of(c.serve_one(0, c.write(kind::set, "k", "w"))) == outcome_kind::stored);
  c.kill(2);
  c.advance(100ms);
  auto why = failure_of(c.serve_one(0, c.read("k")));
  CHECK(why.reason == errc::quorum_failed);
  CHECK(why.message.find(" of 3 replicas answered, 2 needed") != std::string::npos);
  // Known beforehand: nothing was begun.
  why = failure_of(c.serve_one(0, c.write(kind::set, "k", "x")));
  CHECK(why.reason == errc::quorum_failed);
  CHECK(why.unchanged);
  // What could not see the key did nothing.
  why = failure_of(c.serve_one(0, c.write(kind::increment, "k")));
  CHECK(why.unchanged);
  check_idle(c, 0);
}

TEST_CASE("when a leader dies before it answers a set goes to the next replica") {
  local_cluster c{3};
  auto key = c.key_led_by(1);
  c.at(1).swallow = has<lead_call>;
  c.self->send(c.core(0).loop->take_coordinator(), request_list{{c.write(kind::set, key, "v", 5)}});
  c.run();
  c.kill(1);
  c.advance(50ms);
  auto got = c.received<response_list>();
  REQUIRE(got.size() == 1);
  CHECK(got[0].responses.at(0).tag == 5);
  CHECK(outcome_of(got[0].responses[0]) == outcome_kind::stored);
  CHECK(value_of(c.serve_one(2, c.read(key))) == "v");
}

TEST_CASE("a set goes to the next replica also where the clock is far ahead, and leaves it there") {
  local_cluster c{3};
  auto key = c.key_led_by(1);
  constexpr timestamp lead = 8'000'000;
  auto set_ahead = [&] {
    for (size_t i = 0; i < 3; ++i)
      c.core(i).loop->context().clock.observe(c.wall_now() + lead);
  };
  auto lead_now = [&] { return c.core(0).loop->context().now() - c.wall_now(); };
  c.at(1).swallow = has<lead_call>;
  SECTION("it dies at once: the time is waited out in which it may have decided") {
    set_ahead();
    c.self->send(c.core(0).loop->take_coordinator(), request_list{{c.write(kind::set, key, "v")}});
    c.run();
    c.kill(1);
    c.advance(limits::repeatable_decide_within - 50ms);
    CHECK(c.received<response_list>().empty());
    c.advance(100ms);
  }
  SECTION("it is silent: that was wait enough") {
    set_ahead();
    c.self->send(c.core(0).loop->take_coordinator(), request_list{{c.write(kind::set, key, "v")}});
    c.advance(limits::blind_lead_deadline + 100ms);
  }
  auto got = c.received<response_list>();
  REQUIRE(got.size() == 1);
  CHECK(outcome_of(got[0].responses.at(0)) == outcome_kind::stored);
  CHECK(lead_now() <= lead);
  CHECK(value_of(c.serve_one(2, c.read(key))) == "v");
  check_idle(c, 0);
}

TEST_CASE("a set whose leader hears and is not heard goes to the next replica and comes last") {
  local_cluster c{3};
  auto key = c.key_led_by(1);
  auto until = c.wall_now() + 300'000;
  for (size_t i : {0, 2})
    c.at(i).swallow = [&c, until](call_batch& x) {
      return has<store_call>(x) && c.wall_now() < until;
    };
  auto x = c.serve_one(0, c.write(kind::set, key, "v"));
  CHECK(outcome_of(x) == outcome_kind::stored);
  // The first leader has the value under a dot of its own: every read prefers the other one.
  for (size_t i = 0; i < 3; ++i) {
    auto seen = std::get<record>(c.serve_one(i, c.read(key)).what);
    auto wins = latest(seen);
    REQUIRE(wins);
    CHECK(wins->written.node != c.core(1).loop->context().id);
    CHECK(wins->written.clock > until);
  }
  check_idle(c, 0);
}

TEST_CASE("an increment whose leader hears and is not heard may have happened") {
  local_cluster c{3};
  auto key = c.key_led_by(1);
  c.serve_one(0, c.write(kind::set, key, "1"));
  for (size_t i : {0, 2})
    c.at(i).swallow = has<store_call>;
  auto why = failure_of(c.serve_one(0, c.write(kind::increment, key)));
  CHECK(why.reason == errc::quorum_failed);
  CHECK_FALSE(why.unchanged);
}

TEST_CASE("a delete whose leader is silent goes to the next replica, and goes on blindly there") {
  local_cluster c{3};
  auto key = c.key_led_by(1);
  c.serve_one(2, c.write(kind::set, key, "v"));
  c.at(1).swallow = has<lead_call>;
  c.self->send(c.core(0).loop->take_coordinator(), request_list{{c.write(kind::remove, key)}});
  c.advance(limits::attempts_until + 100ms);
  CHECK(c.received<response_list>().empty());
  SECTION("it is lost") {
    c.kill(1);
    c.advance(50ms);
  }
  SECTION("its answer does not come")
  c.advance(limits::blind_lead_deadline - limits::attempts_until);
  auto got = c.received<response_list>();
  REQUIRE(got.size() == 1);
  CHECK(outcome_of(got[0].responses.at(0)) == outcome_kind::deleted);
  CHECK(value_of(c.serve_one(2, c.read(key))) == "nothing");
  check_idle(c, 0);
}

TEST_CASE("when a leader dies before it answers an increment may have happened") {
  local_cluster c{3};
  auto key = c.key_led_by(1);
  c.serve_one(0, c.write(kind::set, key, "1"));
  c.at(1).swallow = has<lead_call>;
  c.self->send(c.core(0).loop->take_coordinator(), request_list{{c.write(kind::increment, key)}});
  c.run();
  c.kill(1);
  c.advance(50ms);
  auto got = c.received<response_list>();
  REQUIRE(got.size() == 1);
  auto why = failure_of(got[0].responses.at(0));
  CHECK(why.reason == errc::peer_down);
  CHECK_FALSE(why.unchanged);
  CHECK(value_of(c.serve_one(0, c.read(key))) == "1");
}

TEST_CASE("increments of many writers through all nodes lose nothing") {
  local_cluster c{3};
  auto key = c.key_led_by(0);
  c.serve_one(0, c.write(kind::set, key, "0"));
  constexpr uint64_t each = 30;
  for (size_t i = 0; i < 3; ++i)
    for (uint64_t n = 0; n < each; ++n)
      c.self->send(c.core(i).loop->take_coordinator(),
                   request_list{{c.write(kind::increment, key)}});
  c.run();
  std::set<uint64_t> numbers;
  for (auto& x : c.received<response_list>())
    for (auto& y : x.responses)
      numbers.insert(std::get<outcome>(y.what).number);
  CHECK(numbers.size() == 3 * each);
  CHECK(*numbers.rbegin() == 3 * each);
  CHECK(c.core(0).loop->count.contended == 0);
  check_idle(c, 0);
}

TEST_CASE("more waiting writers of one key than the limit are refused and did nothing") {
  local_cluster c{1};
  auto n = limits::writers_waiting_max + 10;
  std::vector<request> requests;
  for (uint64_t i = 0; i < n; ++i)
    requests.push_back(c.write(kind::add, "k", "v", i));
  std::map<outcome_kind, size_t> outcomes;
  size_t refused = 0;
  for (auto& [tag, x] : c.serve(0, std::move(requests))) {
    if (auto y = std::get_if<outcome>(&x.what))
      ++outcomes[y->kind];
    else
      refused += failure_of(x).reason == errc::overloaded && failure_of(x).unchanged;
  }
  CHECK(outcomes[outcome_kind::stored] == 1);
  CHECK(outcomes[outcome_kind::not_stored] == limits::writers_waiting_max);
  CHECK(refused == 9);
  check_idle(c, 0);
}

TEST_CASE("a replica that missed a write is repaired by the next read") {
  local_cluster c{3};
  auto key = c.key_led_by(0);
  c.at(2).swallow = has<store_call>;
  CHECK(outcome_of(c.serve_one(0, c.write(kind::set, key, "v"))) == outcome_kind::stored);
  CHECK(c.held_by(2, key).empty());
  c.at(2).swallow = nullptr;
  c.advance(1s);
  CHECK(value_of(c.serve_one(1, c.read(key))) == "v");
  c.advance(100ms);
  CHECK(c.held_by(2, key) == c.held_by(0, key));
}

TEST_CASE("a replica that is silent does not hold up a read or a write") {
  local_cluster c{3};
  auto key = c.key_led_by(0);
  c.at(2).swallow = [](call_batch& x) { return !x.calls.empty(); };
  auto began = c.wall_now();
  CHECK(outcome_of(c.serve_one(0, c.write(kind::set, key, "v"))) == outcome_kind::stored);
  CHECK(value_of(c.serve_one(0, c.read(key))) == "v");
  CHECK(c.wall_now() == began);
  // Its late answers are waited for, and the coordinators end.
  check_idle(c, 0);
}

TEST_CASE("a read of replicas that are slow but alive is asked again and answered late") {
  local_cluster c{3};
  auto key = c.key_led_by(0);
  CHECK(outcome_of(c.serve_one(0, c.write(kind::set, key, "v"))) == outcome_kind::stored);
  auto began = c.wall_now();
  int asked = 0;
  for (size_t i : {1, 2})
    c.at(i).swallow = [&](call_batch& x) {
      asked += has<read_call>(x);
      return !x.calls.empty() && c.wall_now() < began + 600'000;
    };
  CHECK(value_of(c.serve_one(0, c.read(key))) == "v");
  CHECK(c.wall_now() < began + 1'000'000);
  // Once more each, not time and again.
  CHECK(asked == 2 * 3);
  // Where they stay silent the client is told within its 2 s.
  c.at(1).swallow = c.at(2).swallow = [](call_batch& x) { return !x.calls.empty(); };
  CHECK(failure_of(c.serve_one(0, c.read(key))).reason == errc::quorum_failed);
  check_idle(c, 0);
}

TEST_CASE("a write that a faster clock shadows is seen by every read once it is acknowledged") {
  local_cluster c{3};
  auto key = c.key_led_by(0);
  // Another leader, whose clock is ahead, wrote where this key's leader does not see it.
  record ahead;
  version v;
  v.written = {4711, c.wall_now() + 60'000'000};
  v.value = blob::copy_of("older, by a faster clock");
  overwrite(ahead, v);
  c.give(1, key, ahead);
  c.give(2, key, ahead);
  CHECK(outcome_of(c.serve_one(0, c.write(kind::set, key, "newer"))) == outcome_kind::stored);
  for (size_t i = 0; i < 3; ++i)
    CHECK(value_of(c.serve_one(i, c.read(key))) == "newer");
  CHECK(c.core(0).loop->count.rewrites > 0);
}

TEST_CASE("a set by a leader that missed another version is answered with the cas unique of both") {
  local_cluster c{3};
  auto key = c.key_led_by(0);
  record missed;
  version v;
  v.written = {4711, c.wall_now() - 1'000'000};
  v.value = blob::copy_of("v");
  overwrite(missed, v);
  c.give(1, key, missed);
  c.give(2, key, missed);
  auto x = c.serve_one(0, c.write(kind::set, key, "w"));
  CHECK(outcome_of(x) == outcome_kind::stored);
  auto cas = std::get<outcome>(x.what).cas;
  CHECK(cas != cas_unique(c.held_by(0, key)));
  for (size_t i = 0; i < 3; ++i) {
    auto seen = c.serve_one(i, c.read(key));
    CHECK(value_of(seen) == "w");
    CHECK(cas_unique(std::get<record>(seen.what)) == cas);
  }
  auto exchange = c.write(kind::compare_and_set, key, "x");
  exchange.write->compare = cas;
  CHECK(outcome_of(c.serve_one(2, exchange)) == outcome_kind::stored);
}

TEST_CASE("delete goes on where the key's state can not be seen") {
  local_cluster c{3, {3, 3, 2, 8}};
  c.serve_one(0, c.write(kind::set, "k", "v"));
  c.kill(2);
  c.advance(100ms);
  CHECK(failure_of(c.serve_one(0, c.read("k"))).reason == errc::quorum_failed);
  CHECK(outcome_of(c.serve_one(0, c.write(kind::remove, "k"))) == outcome_kind::deleted);
  CHECK(latest(c.held_by(1, "k"))->tombstone);
  CHECK(failure_of(c.serve_one(0, c.write(kind::add, "k", "x"))).unchanged);
}

TEST_CASE("a write that fails may have happened only where a leader may have done it") {
  local_cluster c{3};
  c.kill(1);
  c.kill(2);
  c.advance(100ms);
  // Where the time for a look is over it is asked blindly, above all so far.
  auto x = c.write(kind::remove, "k");
  x.above = c.core(0).loop->context().now();
  CHECK(failure_of(c.serve_one(0, x)).unchanged);
  x.may_have_happened = true;
  CHECK_FALSE(failure_of(c.serve_one(0, x)).unchanged);
  check_idle(c, 0);
}

TEST_CASE("a delete that is refused because lists changed is begun anew, and sees the key then") {
  local_cluster c{3};
  auto key = c.key_led_by(0);
  size_t refused = 0;
  for (size_t i : {1, 2})
    c.at(i).swallow = [&, done = false](call_batch& batch) mutable {
      if (has<read_call>(batch) && !std::exchange(done, true)) {
        ++refused;
        for (auto& x : batch.calls)
          ++x.changed_at;
      }
      return false;
    };
  CHECK(outcome_of(c.serve_one(0, c.write(kind::remove, key))) == outcome_kind::not_found);
  CHECK(refused == 2);
  CHECK(c.core(0).loop->count.begun_anew > 0);
  check_idle(c, 0);
}

TEST_CASE("a request may want another number of replicas than the cluster's") {
  local_cluster c{3, {3, 3, 2, 8}};
  auto stored = [&](uint8_t quorum) {
    auto x = c.write(kind::set, "k", "v");
    x.write->quorum = quorum;
    return c.serve_one(0, std::move(x));
  };
  CHECK(outcome_of(stored(3)) == outcome_kind::stored);
  c.kill(2);
  c.advance(100ms);
  auto read = [&](uint8_t quorum) {
    auto x = c.read("k");
    x.quorum = quorum;
    return c.serve_one(0, std::move(x));
  };
  CHECK(failure_of(read(0)).reason == errc::quorum_failed);
  CHECK(value_of(read(2)) == "v");
  CHECK(value_of(read(1)) == "v");
  CHECK(outcome_of(stored(2)) == outcome_kind::stored);
  // More than there are replicas: all of them.
  CHECK(failure_of(read(16)).reason == errc::quorum_failed);
  CHECK(failure_of(stored(16)).reason == errc::quorum_failed);
}

TEST_CASE("a node that is no member yet answers every request with that") {
  local_cluster c{1};
  c.add_node({"127.0.0.1:7000"});
  auto why = failure_of(c.serve_one(1, c.write(kind::set, "k", "v")));
  CHECK(why.reason == errc::not_a_member);
  CHECK(why.unchanged);
  CHECK(failure_of(c.serve_one(1, c.read("k"))).reason == errc::not_a_member);
}
