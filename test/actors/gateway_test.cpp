#include "actors/gateway.hpp"

#include <catch2/catch.hpp>

#include "actors/cluster_view.hpp"
#include "protocol/topology_messages.hpp"
#include "test/support/local_cluster.hpp"

using namespace kai;

namespace {

hello words_of(uint32_t protocol, uint64_t cluster_id) {
  hello x;
  x.protocol = protocol;
  x.cluster_id = cluster_id;
  x.name = "stranger";
  return x;
}

call some_call(local_cluster& c, const std::string& key, decltype(call::what) what) {
  call x;
  x.id = 9;
  x.partition = c.partition(key);
  x.key = blob::copy_of(key);
  x.what = std::move(what);
  x.changed_at = c.core(0).loop->view->topo.changed_at[x.partition];
  return x;
}

/// What node `i` answers to the call, as another node's peer would hear it.
answer ask_gateway(local_cluster& c, size_t i, call x) {
  call_batch batch;
  batch.header.clock = c.wall_now();
  batch.calls.push_back(std::move(x));
  c.self->send(c.core(i).gateway, std::move(batch));
  c.advance(std::chrono::milliseconds{20});
  auto got = c.received<answer_batch>();
  REQUIRE(got.size() == 1);
  REQUIRE(got[0].answers.size() == 1);
  REQUIRE(got[0].answers[0].id == 9);
  return got[0].answers[0];
}

failed_answer failure_in(const answer& x) {
  REQUIRE(std::holds_alternative<failed_answer>(x.what));
  return std::get<failed_answer>(x.what);
}

} // namespace

TEST_CASE("a hello is answered with the node's own, another version's or cluster's is refused") {
  local_cluster c{1};
  auto& gateway = c.core(0).gateway;
  auto own_cluster = c.core(0).loop->view->topo.cluster_id;
  for (auto id : {own_cluster, uint64_t{0}}) {
    auto x = c.ask<hello>(gateway, hello_atom::value, words_of(protocol_version, id));
    REQUIRE(x);
    CHECK(x->name == "n0");
    CHECK(x->cluster_id == own_cluster);
    CHECK(x->id == c.core(0).context->id);
    CHECK(x->header.epoch == 1);
  }
  auto foreign =
      c.ask<hello>(gateway, hello_atom::value, words_of(protocol_version, own_cluster + 1));
  REQUIRE_FALSE(foreign);
  CHECK(foreign.error() == errc::incompatible);
  CHECK(message_of(foreign.error()) == "n0 belongs to another cluster than stranger");
  auto newer = c.ask<hello>(gateway, hello_atom::value, words_of(protocol_version + 1, 0));
  REQUIRE_FALSE(newer);
  CHECK(newer.error() == errc::incompatible);
}

TEST_CASE("a node's clock is above that of whoever talked to it") {
  local_cluster c{1};
  auto far = c.wall_now() + 60'000'000;
  auto words = words_of(protocol_version, 0);
  words.header.clock = far;
  REQUIRE(c.ask<hello>(c.core(0).gateway, hello_atom::value, words));
  CHECK(c.core(0).context->issue() > far);
}

TEST_CASE("a node whose clock is far ahead is refused, and its clock is not taken over") {
  local_cluster c{1};
  auto words = words_of(protocol_version, 0);
  words.header.clock = c.wall_now() + 86'400'000'000;
  auto answer = c.ask<hello>(c.core(0).gateway, hello_atom::value, words);
  REQUIRE_FALSE(answer);
  CHECK(answer.error() == errc::incompatible);
  CHECK(c.core(0).context->issue() < words.header.clock);
}

TEST_CASE("a call for a partition of others is refused and did nothing") {
  local_cluster c{3, {1, 1, 1, 8}};
  auto key = c.key_led_by(1);
  auto why = failure_in(ask_gateway(c, 0, some_call(c, key, read_call{})));
  CHECK(why.reason == errc::not_owner);
  CHECK(why.unchanged);
  CHECK(std::holds_alternative<record_answer>(
      ask_gateway(c, 1, some_call(c, key, read_call{})).what));
  // A partition that does not exist.
  auto beyond = some_call(c, key, read_call{});
  beyond.partition = 8;
  CHECK(failure_in(ask_gateway(c, 1, beyond)).reason == errc::not_owner);
}

TEST_CASE("a stand-in takes hints and leads what need not see the key") {
  local_cluster c{3, {1, 1, 1, 8}};
  auto key = c.key_led_by(1);
  record x;
  version v;
  v.written = {77, c.wall_now()};
  overwrite(x, v);
  CHECK(std::holds_alternative<stored_answer>(
      ask_gateway(c, 0, some_call(c, key, hint_call{"n1", x})).what));
  auto elsewhere = some_call(c, key, hint_call{"n1", x});
  elsewhere.partition = (elsewhere.partition + 1) % 8;
  CHECK(failure_in(ask_gateway(c, 0, elsewhere)).reason == errc::not_owner);
  mutation what;
  CHECK(std::holds_alternative<lead_answer>(
      ask_gateway(c, 0, some_call(c, key, lead_call{what})).what));
  what.kind = mutation_kind::add;
  auto why = failure_in(ask_gateway(c, 0, some_call(c, key, lead_call{what})));
  CHECK(why.reason == errc::not_owner);
  CHECK(why.unchanged);
}

TEST_CASE("a node that is no member yet refuses calls and questions") {
  local_cluster c{1};
  c.add_node({"127.0.0.1:7000"});
  CHECK(failure_in(ask_gateway(c, 1, some_call(c, "k", read_call{}))).reason == errc::not_owner);
  auto json = c.ask<std::string>(c.core(1).gateway, admin_atom::value, std::string{"join"},
                                 std::vector<std::string>{"x"});
  REQUIRE_FALSE(json);
  CHECK(json.error() == errc::not_a_member);
  // Not even a hello: whoever greeted it would count it up.
  auto greeted = c.ask<hello>(c.core(1).gateway, hello_atom::value,
                              words_of(protocol_version, c.core(0).loop->view->topo.cluster_id));
  REQUIRE_FALSE(greeted);
  CHECK(greeted.error() == errc::not_a_member);
}

TEST_CASE("an unknown service is refused, a known one answered") {
  local_cluster c{1};
  auto unknown = ask_gateway(c, 0, some_call(c, "", service_call{"horoscope", "today"}));
  CHECK(failure_in(unknown).reason == errc::incompatible);
  topology_request get;
  auto known = ask_gateway(c, 0, some_call(c, "", service_call{"topology", encode_text(get)}));
  REQUIRE(std::holds_alternative<text_answer>(known.what));
  auto reply = decode_topology_reply(std::get<text_answer>(known.what).text);
  REQUIRE(reply);
  CHECK(reply->epoch == 1);
  CHECK_FALSE(reply->newer.empty());
  auto garbage = ask_gateway(c, 0, some_call(c, "", service_call{"topology", "garbage"}));
  CHECK(failure_in(garbage).reason == errc::refused);
}

TEST_CASE("a forwarded write is led here and its outcome sent back") {
  local_cluster c{1};
  mutation what;
  what.value = blob::copy_of("5");
  auto x = ask_gateway(c, 0, some_call(c, "k", lead_call{what}));
  REQUIRE(std::holds_alternative<lead_answer>(x.what));
  CHECK(std::get<lead_answer>(x.what).result.kind == outcome_kind::stored);
  what.kind = mutation_kind::increment;
  what.delta = 3;
  x = ask_gateway(c, 0, some_call(c, "k", lead_call{what}));
  REQUIRE(std::holds_alternative<lead_answer>(x.what));
  CHECK(std::get<lead_answer>(x.what).result.number == 8);
  CHECK(state_of<gateway_state>(c.core(0).gateway).forwarded.empty());
}

TEST_CASE("a forwarded write that comes after its sender gave up is not led") {
  local_cluster c{1};
  call_batch batch;
  batch.header.clock = c.wall_now();
  mutation what;
  what.value = blob::copy_of("old");
  batch.calls.push_back(some_call(c, "k", lead_call{what}));
  c.advance(deadline_of(batch.calls[0]) + std::chrono::milliseconds{1});
  c.self->send(c.core(0).gateway, std::move(batch));
  c.advance(std::chrono::milliseconds{20});
  auto got = c.received<answer_batch>();
  REQUIRE(got.size() == 1);
  auto why = failure_in(got[0].answers.at(0));
  CHECK(why.reason == errc::timed_out);
  CHECK(why.unchanged);
  CHECK(c.held_by(0, "k").empty());
}

TEST_CASE("calls of a member's peer are answered through the own peer of that member") {
  local_cluster c{2, {2, 2, 2, 8}};
  auto& view = *c.core(1).loop->view;
  auto index = static_cast<size_t>(view.topo.find("n0") - view.topo.members.data());
  auto& theirs = *c.core(0).loop->view;
  auto asker = caf::actor_cast<caf::strong_actor_ptr>(
      theirs.peers[static_cast<size_t>(theirs.topo.find("n1") - theirs.topo.members.data())]);
  auto route = c.core(1).loop->replies.find(asker);
  REQUIRE(route);
  CHECK(route->box == view.outboxes[index]);
  CHECK(route->peer == view.peers[index]);
  CHECK_FALSE(c.core(1).loop->replies.find(caf::actor_cast<caf::strong_actor_ptr>(c.self)));
  // Who says hello as one that is no member is answered directly until it is one.
  REQUIRE(c.ask<hello>(c.core(1).gateway, hello_atom::value, words_of(protocol_version, 0)));
  CHECK_FALSE(c.core(1).loop->replies.find(caf::actor_cast<caf::strong_actor_ptr>(c.self)));
}

TEST_CASE("answers that come with calls reach the peer that asked") {
  local_cluster c{2, {2, 2, 2, 8}};
  call_batch asked;
  c.at(0).swallow = [&](call_batch& x) {
    if (!x.calls.empty())
      asked = x;
    return !x.calls.empty();
  };
  c.self->send(c.core(1).loop->take_coordinator(), request_list{{c.read("k", 5)}});
  c.run();
  REQUIRE(asked.calls.size() == 1);
  auto& view = *c.core(1).loop->view;
  auto& peer = view.peers[static_cast<size_t>(view.topo.find("n0") - view.topo.members.data())];
  call_batch batch;
  batch.header.clock = c.wall_now();
  batch.calls.push_back(some_call(c, "k", read_call{}));
  batch.answers.answers.push_back({asked.calls[0].id, record_answer{{}, true}});
  auto answered = [&](uint64_t to) {
    batch.answers_for = to;
    c.self->send(c.core(1).gateway, batch);
    c.run();
    size_t answers = 0;
    size_t responses = 0;
    while (c.self->has_next_message())
      c.self->receive([&](const answer_batch& x) { answers += x.answers.size(); },
                      [&](const response_list& x) { responses += x.responses.size(); });
    // The calls are carried out, whoever the answers are for.
    CHECK(answers == 1);
    return responses;
  };
  CHECK(answered(c.self->id()) == 0);
  CHECK(answered(peer.id()) == 1);
}

TEST_CASE("a batch without calls is a sign of life and answered with one") {
  local_cluster c{1};
  c.self->send(c.core(0).gateway, call_batch{});
  c.run();
  auto got = c.received<answer_batch>();
  REQUIRE(got.size() == 1);
  CHECK(got[0].answers.empty());
  CHECK(got[0].header.epoch == 1);
  CHECK(got[0].header.clock >= c.wall_now());
}
