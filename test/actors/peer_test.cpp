// long: a world around one peer, and what the peer does in it
#include "actors/peer.hpp"

#include <catch2/catch.hpp>

#include <caf/event_based_actor.hpp>
#include <caf/send.hpp>

#include "actors/on_loop.hpp"
#include "test/support/virtual_time.hpp"

using namespace kai;
using namespace std::chrono_literals;

namespace {

/// A peer, and around it everything it talks to.
struct peer_world : virtual_time {
  peer_world() {
    loop = std::make_shared<io_loop>(sys, make_context("here"));
    gateway = make_gateway();
    auto dialer = fake<dialer_actor>([this](caf::event_based_actor*) -> caf::behavior {
      return {[this](dial_atom, const std::string& address) -> caf::result<gateway_actor> {
        dials.push_back(wall_now());
        dialed.push_back(address);
        if (!reachable || address != lives_at)
          return failure(errc::peer_down, "not reachable");
        return gateway;
      }};
    });
    auto membership = fake<membership_actor>([this](caf::event_based_actor*) -> caf::behavior {
      return {[this](const peer_status& x) {
                statuses.push_back(x.up);
                confirmed += x.confirmed;
              },
              [this](suspect_atom, const std::string& name) {
                REQUIRE(name == "there");
                ++questions;
              }};
    });
    peer = own(spawn_on_loop<peer_actor>(sys, kai::peer, loop, "there", "there:1", gateway_actor{},
                                         dialer, membership, topology_actor{}, box));
    // In the gateway's place.
    fake<caf::actor>([this](caf::event_based_actor* me) -> caf::behavior {
      me->delayed_send(me, limits::peer_tick, tick_atom::value);
      return {[this, me](tick_atom) {
        me->delayed_send(me, limits::peer_tick, tick_atom::value);
        loop->tick(sys.clock().now());
      }};
    });
  }

  gateway_actor make_gateway() {
    return fake<gateway_actor>([this](caf::event_based_actor* me) -> caf::behavior {
      return {
          [this](hello_atom, const hello& x) {
            REQUIRE(x.name == "here");
            hello mine;
            mine.protocol = protocol_in_hello;
            mine.name = name_in_hello;
            return mine;
          },
          [this, me](const call_batch& batch) {
            if (!batch.calls.empty()) {
              batches.push_back(batch);
              return;
            }
            ++probes;
            if (alive)
              me->send(caf::actor_cast<answer_batch_sink>(me->current_sender()), answer_batch{});
          },
      };
    });
  }

  void call_all(std::vector<call> calls) { self->send(peer, call_list{std::move(calls)}); }

  static call some_call(uint64_t tag) {
    call x;
    x.id = tag;
    x.key = blob::copy_of("k");
    x.what = read_call{};
    return x;
  }

  /// The other node answers with "stored".
  void answer_calls(const call_batch& batch) {
    answer_batch answers;
    for (auto& x : batch.calls)
      answers.answers.push_back({x.id, stored_answer{}});
    self->send(peer, std::move(answers));
    run();
  }

  std::vector<answer> answers() {
    std::vector<answer> result;
    for (auto& x : received<answer_list>())
      result.insert(result.end(), x.answers.begin(), x.answers.end());
    return result;
  }

  static failed_answer failure_in(const answer& x) {
    REQUIRE(std::holds_alternative<failed_answer>(x.what));
    return std::get<failed_answer>(x.what);
  }

  /// What a vnode of this node says to the other node's peer, in whose place the test is.
  void reply(uint64_t id, uint64_t epoch = 1) {
    answer_batch x;
    x.header.epoch = epoch;
    x.answers.push_back({id, stored_answer{}});
    box->add_reply(caf::actor_cast<caf::strong_actor_ptr>(self), std::move(x), 16);
  }

  /// What a coordinator asks of the other node.
  void post(uint64_t tag) {
    box->lots.push_back({caf::actor_cast<caf::strong_actor_ptr>(self), {{some_call(tag)}}});
  }

  void flush() {
    self->send(peer, flush_batch_atom::value);
    run();
  }

  io_loop_ptr loop;
  gateway_actor gateway;
  peer_actor peer;
  outbox_ptr box = std::make_shared<outbox>();
  bool reachable = true;
  std::string lives_at = "there:1";
  std::vector<std::string> dialed;
  bool alive = true;
  size_t probes = 0;
  std::string name_in_hello = "there";
  uint32_t protocol_in_hello = protocol_version;
  std::vector<timestamp> dials;
  std::vector<bool> statuses;
  int questions = 0;
  int confirmed = 0;
  std::vector<call_batch> batches;
};

} // namespace

TEST_CASE("all calls of a turn leave in one batch, and answers find their callers") {
  peer_world w;
  w.run();
  REQUIRE(w.statuses == std::vector<bool>{true});
  w.call_all({w.some_call(70), w.some_call(71)});
  w.call_all({w.some_call(72)});
  w.run();
  REQUIRE(w.batches.size() == 1);
  CHECK(w.batches[0].calls.size() == 3);
  CHECK(w.answers().empty());
  w.answer_calls(w.batches[0]);
  auto got = w.answers();
  REQUIRE(got.size() == 3);
  for (size_t i = 0; i < 3; ++i) {
    CHECK(got[i].id == 70 + i);
    CHECK(std::holds_alternative<stored_answer>(got[i].what));
  }
  // Once: an answer that comes again finds nobody.
  w.answer_calls(w.batches[0]);
  CHECK(w.answers().empty());
}

TEST_CASE("answers for the node leave with the calls for it, alone where there are none") {
  peer_world w;
  w.run();
  w.reply(5);
  w.reply(6);
  w.post(70);
  w.flush();
  REQUIRE(w.batches.size() == 1);
  CHECK(w.batches[0].calls.size() == 1);
  CHECK(w.batches[0].answers_for == w.self->id());
  REQUIRE(w.batches[0].answers.answers.size() == 2);
  CHECK(w.batches[0].answers.answers[1].id == 6);
  CHECK(w.received<answer_batch>().empty());
  // Those of two epochs do not pass for those of one.
  w.reply(7, 1);
  w.reply(8, 2);
  w.post(71);
  w.flush();
  REQUIRE(w.batches.size() == 2);
  CHECK(w.batches[1].answers.header.epoch == 2);
  auto alone = w.received<answer_batch>();
  REQUIRE(alone.size() == 1);
  CHECK(alone[0].header.epoch == 1);
  CHECK(alone[0].answers[0].id == 7);
  w.reply(9);
  w.flush();
  CHECK(w.batches.size() == 2);
  CHECK(w.received<answer_batch>().size() == 1);
}

TEST_CASE("answers go to who asked although the node can not be called") {
  peer_world w;
  w.reachable = false;
  w.run();
  w.reply(5);
  w.post(70);
  w.flush();
  size_t answers = 0;
  while (w.self->has_next_message())
    w.self->receive([&](const answer_batch& x) { answers += x.answers.size(); },
                    [&](const answer_list& x) {
                      REQUIRE(x.answers.size() == 1);
                      CHECK(w.failure_in(x.answers[0]).unchanged);
                    });
  CHECK(answers == 1);
  CHECK(w.batches.empty());
}

TEST_CASE("more calls than a batch takes leave in several") {
  peer_world w;
  w.run();
  std::vector<call> calls;
  for (uint64_t i = 0; i < 2 * limits::batch_calls_max + 1; ++i)
    calls.push_back(w.some_call(i));
  w.call_all(std::move(calls));
  w.run();
  REQUIRE(w.batches.size() == 3);
  CHECK(w.batches[2].calls.size() == 1);
}

TEST_CASE("calls to a node that is not connected fail at once and certainly did nothing") {
  peer_world w;
  w.reachable = false;
  w.run();
  w.call_all({w.some_call(1), w.some_call(2)});
  w.run();
  auto got = w.answers();
  REQUIRE(got.size() == 2);
  CHECK(w.failure_in(got[0]).reason == errc::peer_down);
  CHECK(w.failure_in(got[0]).unchanged);
  CHECK(w.batches.empty());
}

TEST_CASE("a call that is not answered fails at its deadline, a leader's later") {
  peer_world w;
  w.run();
  auto lead = w.some_call(2);
  lead_call conditional;
  conditional.what.kind = mutation_kind::increment;
  lead.what = conditional;
  w.call_all({w.some_call(1), lead});
  w.advance(limits::call_deadline - 10ms);
  CHECK(w.answers().empty());
  w.advance(limits::peer_tick + 20ms);
  auto got = w.answers();
  REQUIRE(got.size() == 1);
  CHECK(got[0].id == 1);
  CHECK(w.failure_in(got[0]).reason == errc::timed_out);
  CHECK_FALSE(w.failure_in(got[0]).unchanged);
  w.advance(limits::lead_deadline - limits::call_deadline - 100ms);
  CHECK(w.answers().empty());
  w.advance(200ms);
  got = w.answers();
  REQUIRE(got.size() == 1);
  CHECK(got[0].id == 2);
  CHECK(w.loop->count.calls_timed_out == 2);
}

TEST_CASE("an answer that comes after the deadline does not answer a later call") {
  peer_world w;
  w.run();
  w.call_all({w.some_call(1)});
  w.advance(limits::call_deadline + 2 * limits::peer_tick);
  REQUIRE(w.answers().size() == 1);
  // The second call takes the slot of the first.
  w.call_all({w.some_call(2)});
  w.run();
  REQUIRE(w.batches.size() == 2);
  CHECK(w.batches[0].calls[0].id != w.batches[1].calls[0].id);
  w.answer_calls(w.batches[0]);
  CHECK(w.answers().empty());
  w.answer_calls(w.batches[1]);
  auto got = w.answers();
  REQUIRE(got.size() == 1);
  CHECK(got[0].id == 2);
}

TEST_CASE("when the connection breaks every open call fails and membership hears of it") {
  peer_world w;
  w.run();
  w.call_all({w.some_call(1)});
  w.run();
  w.reachable = false;
  caf::anon_send_exit(w.gateway, caf::exit_reason::kill);
  w.run();
  auto got = w.answers();
  REQUIRE(got.size() == 1);
  CHECK(w.failure_in(got[0]).reason == errc::peer_down);
  CHECK_FALSE(w.failure_in(got[0]).unchanged);
  CHECK(w.statuses == std::vector<bool>{true, false});
  w.reachable = true;
  w.gateway = w.make_gateway();
  w.advance(3s);
  CHECK(w.statuses == std::vector<bool>{true, false, true});
  w.call_all({w.some_call(2)});
  w.run();
  CHECK(w.batches.size() == 2);
}

TEST_CASE("a connection that stood for a while is made anew at once, one that did not is not") {
  peer_world w;
  w.advance(2s);
  auto tried = w.dials.size();
  w.reachable = false;
  caf::anon_send_exit(w.gateway, caf::exit_reason::kill);
  w.run();
  CHECK(w.dials.size() == tried + 1);
  w.reachable = true;
  w.gateway = w.make_gateway();
  w.advance(60ms);
  CHECK(w.statuses == std::vector<bool>{true, false, true});
  tried = w.dials.size();
  caf::anon_send_exit(w.gateway, caf::exit_reason::kill);
  w.run();
  CHECK(w.dials.size() == tried);
}

TEST_CASE("a node that gives no sign for a second is taken for down") {
  peer_world w;
  w.advance(5s);
  CHECK(w.statuses == std::vector<bool>{true});
  w.alive = false;
  w.reachable = false;
  w.call_all({w.some_call(1)});
  w.advance(400ms);
  CHECK(w.questions == 0);
  w.advance(400ms);
  CHECK(w.questions == 1);
  CHECK(w.statuses == std::vector<bool>{true});
  w.advance(500ms);
  CHECK(w.statuses == std::vector<bool>{true, false});
  CHECK(w.loop->count.suspicions == 1);
  CHECK(w.answers().size() == 1);
}

TEST_CASE("a node is asked for a sign five times a second, and not while it answers calls") {
  peer_world w;
  w.run();
  w.probes = 0;
  w.advance(2s);
  CHECK(w.probes >= 8);
  CHECK(w.probes <= 11);
  w.probes = 0;
  for (int i = 0; i < 40; ++i) {
    w.call_all({w.some_call(1)});
    w.run();
    w.answer_calls(w.batches.back());
    w.advance(50ms);
  }
  CHECK(w.probes == 0);
  w.advance(1s);
  CHECK(w.probes >= 4);
  CHECK(w.statuses == std::vector{true});
}

TEST_CASE("others are asked about a node that can not be reached until one confirms it") {
  peer_world w;
  w.reachable = false;
  w.advance(500ms);
  auto asked = w.questions;
  CHECK(asked > 1);
  CHECK(w.confirmed == 0);
  w.self->send(w.peer, witness_atom::value, true);
  w.advance(1s);
  CHECK(w.questions > asked);
  CHECK(w.confirmed == 0);
  w.self->send(w.peer, witness_atom::value, false);
  w.run();
  CHECK(w.confirmed == 1);
  asked = w.questions;
  w.advance(3s);
  CHECK(w.questions == asked);
  w.reachable = true;
  w.advance(1100ms);
  REQUIRE(w.statuses.back());
  // What was known of the last time does not count the next time.
  w.reachable = false;
  caf::anon_send_exit(w.gateway, caf::exit_reason::kill);
  w.advance(500ms);
  CHECK_FALSE(w.statuses.back());
  CHECK(w.questions > asked);
  CHECK(w.confirmed == 1);
}

TEST_CASE("a silent node that others do not reach either is taken for down sooner") {
  peer_world w;
  w.advance(5s);
  w.alive = false;
  w.reachable = false;
  w.advance(700ms);
  REQUIRE(w.questions == 1);
  w.self->send(w.peer, witness_atom::value, false);
  w.advance(150ms);
  CHECK(w.statuses == std::vector<bool>{true, false});
}

TEST_CASE("a node that can not be reached is tried less and less often, and for ever") {
  peer_world w;
  w.reachable = false;
  w.advance(10s);
  REQUIRE(w.dials.size() > 8);
  for (size_t i = 2; i < w.dials.size(); ++i) {
    auto wait = w.dials[i] - w.dials[i - 1];
    CHECK(wait + 10'000 >= w.dials[i - 1] - w.dials[i - 2]);
    CHECK(wait <= 1'010'000);
  }
  CHECK(w.dials[1] - w.dials[0] <= 60'000);
  w.reachable = true;
  w.advance(1100ms);
  CHECK(w.statuses == std::vector<bool>{true});
}

TEST_CASE("a node of another version is not used until it is of this one") {
  peer_world w;
  w.protocol_in_hello = protocol_version + 1;
  w.advance(3s);
  CHECK(w.dials.size() > 3);
  w.call_all({w.some_call(1)});
  w.run();
  CHECK(w.batches.empty());
  CHECK(w.failure_in(w.answers().at(0)).reason == errc::peer_down);
  w.protocol_in_hello = protocol_version;
  w.advance(2s);
  CHECK(w.statuses == std::vector<bool>{true});
}

TEST_CASE("a node that says another name is not used") {
  peer_world w;
  w.name_in_hello = "somebody else";
  w.advance(1s);
  CHECK(w.statuses.empty());
  CHECK(w.dials.size() > 2);
  w.call_all({w.some_call(1)});
  w.run();
  CHECK(w.failure_in(w.answers().at(0)).reason == errc::peer_down);
  w.name_in_hello = "there";
  w.advance(1100ms);
  CHECK(w.statuses == std::vector<bool>{true});
}

TEST_CASE("a node that is not where it was is looked for at seeds where nobody is known to be") {
  peer_world w;
  topology topo;
  topo.members = {{"here", "", "", "here:1"}, {"there", "", "", "there:1"}};
  w.loop->view = std::make_shared<cluster_view>(topo, member_index{0});
  auto& context = w.loop->context();
  context.cluster_address = "here:2";
  context.options.cluster.seeds = {"here:1", "here:2", "new:1", "new:2"};
  w.lives_at = "new:2";
  w.name_in_hello = "somebody else";
  w.advance(3s);
  CHECK(w.statuses.empty());
  w.name_in_hello = "there";
  w.advance(4s);
  CHECK(w.statuses == std::vector<bool>{true});
  for (size_t i = 0; i < w.dialed.size(); ++i)
    CHECK(w.dialed[i] == std::vector<std::string>{"there:1", "new:1", "new:2"}[i % 3]);
  // Once it was there it may be back where it was.
  caf::anon_send_exit(w.gateway, caf::exit_reason::kill);
  w.run();
  CHECK(w.dialed.back() == "there:1");
}

TEST_CASE("calls and bytes above the limits are refused as overload") {
  peer_world w;
  w.run();
  std::vector<call> calls;
  for (uint64_t i = 0; i < limits::calls_in_flight_max + 3; ++i)
    calls.push_back(w.some_call(i));
  w.call_all(std::move(calls));
  w.run();
  auto got = w.answers();
  REQUIRE(got.size() == 3);
  CHECK(w.failure_in(got[0]).reason == errc::overloaded);
  CHECK(w.failure_in(got[0]).unchanged);
  CHECK(got[0].id == limits::calls_in_flight_max);
  for (auto& x : std::exchange(w.batches, {}))
    w.answer_calls(x);
  CHECK(w.answers().size() == limits::calls_in_flight_max);

  auto large = w.some_call(5);
  auto most =
      limits::call_bytes_in_flight_max + 2 * w.loop->context().options.memcache.max_item_size;
  large.what = service_call{"x", std::string(most, 'x')};
  w.call_all({large, w.some_call(6)});
  w.run();
  got = w.answers();
  REQUIRE(got.size() == 1);
  CHECK(got[0].id == 5);
  CHECK(w.failure_in(got[0]).reason == errc::overloaded);
  REQUIRE(w.batches.size() == 1);
  CHECK(w.loop->count.calls_refused == 4);
}

TEST_CASE("a value of the largest size is taken, and small calls beside it") {
  peer_world w;
  w.loop->context().options.memcache.max_item_size = limits::item_bytes_max;
  w.run();
  auto large = w.some_call(1);
  store_call store;
  store.value.versions.emplace_back();
  store.value.versions[0].value = blob::copy_of(std::string(limits::item_bytes_max, 'x'));
  large.what = std::move(store);
  w.call_all({large, w.some_call(2)});
  w.run();
  CHECK(w.answers().empty());
  CHECK(w.loop->count.calls_refused == 0);
}

TEST_CASE("a list without calls leaves nothing behind") {
  peer_world w;
  w.run();
  for (int i = 0; i < 5; ++i)
    w.call_all({});
  w.run();
  auto& st = state_of<peer_state>(w.peer);
  CHECK(st.groups.size() == st.free_groups.size());
}

TEST_CASE("a peer that was replaced refuses what still comes, has its answers, and then ends") {
  peer_world w;
  w.run();
  w.call_all({w.some_call(1)});
  w.run();
  w.self->monitor(w.peer);
  w.self->send(w.peer, stop_atom::value);
  w.call_all({w.some_call(2)});
  w.run();
  auto got = w.answers();
  REQUIRE(got.size() == 1);
  CHECK(w.failure_in(got[0]).reason == errc::peer_down);
  CHECK(w.failure_in(got[0]).unchanged);
  w.advance(limits::call_deadline + limits::peer_tick);
  got = w.answers();
  REQUIRE(got.size() == 1);
  CHECK(w.failure_in(got[0]).reason == errc::timed_out);
  CHECK_FALSE(w.failure_in(got[0]).unchanged);
  // What became of the member is its successor's to say.
  CHECK(w.statuses == std::vector<bool>{true});
  auto dials = w.dials.size();
  w.advance(limits::peer_retired - limits::call_deadline - limits::peer_tick - 100ms);
  CHECK(w.received<caf::down_msg>().empty());
  REQUIRE(w.box->send_all);
  w.advance(200ms);
  CHECK(w.received<caf::down_msg>().size() == 1);
  CHECK(w.dials.size() == dials);
  // A turn that began before it ended has nobody to call.
  CHECK_FALSE(w.box->send_all);
  w.box->run();
}
