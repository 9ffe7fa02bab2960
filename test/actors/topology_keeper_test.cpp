// long: the votes, and every change that can be voted on
#include "actors/topology_keeper.hpp"

#include <deque>
#include <map>

#include <catch2/catch.hpp>

#include <caf/event_based_actor.hpp>
#include <caf/send.hpp>

#include "test/support/arrived.hpp"
#include "test/support/virtual_time.hpp"

using namespace kai;
using namespace std::chrono_literals;
using kind = topology_request::kind;

namespace {

/// Keepers of several nodes, wired to each other through peers that only carry their questions.
class keeper_world : public virtual_time {
public:
  struct keeper {
    std::map<std::string, std::string> files;
    bool disk_broken = false;
    bool reachable = true;
    /// Whether, while it is not, others might still reach it.
    bool unsure = false;
    std::string zone;
    /// When its data was last used; 0: just now.
    timestamp used_until = 0;
    context_ptr context;
    topology_actor handle;
    std::vector<topology> used;
  };

  /// The first founds, the others join it.
  explicit keeper_world(size_t n) : keepers(n) {
    for (size_t i = 0; i < n; ++i) {
      if (i > 0)
        seeds = {address_of(0)};
      spawn_keeper(i, address_of(i));
      REQUIRE(start(i));
    }
  }

  static std::string address_of(size_t i) { return "127.0.0.1:" + std::to_string(7000 + i); }

  void spawn_keeper(size_t i, const std::string& address) {
    auto& k = keepers[i];
    k.context = make_context("n" + std::to_string(i));
    k.context->cluster_address = address;
    k.context->memcache_address = "127.0.0.1:1";
    k.context->options.cluster.partitions = 8;
    k.context->options.cluster.seeds = seeds;
    k.context->options.node.zone = k.zone;
    k.context->used_until = k.used_until;
    durable_files files{[&k](const std::string& name) -> caf::expected<std::optional<std::string>> {
                          auto at = k.files.find(name);
                          return at == k.files.end() ? std::nullopt : std::optional{at->second};
                        },
                        [&k](const std::string& name, const std::string& bytes) {
                          if (k.disk_broken)
                            return failure(errc::storage_failed, "the disk is broken");
                          k.files[name] = bytes;
                          return caf::error{};
                        }};
    auto vnode = fake<vnode_actor>([](caf::event_based_actor*) -> caf::behavior {
      return {[](report_atom) { return vnode_report{}; }};
    });
    k.handle = own(sys.spawn(topology_keeper, k.context, files, std::vector<vnode_actor>{vnode},
                             fake_dialer(), fake_membership(i), 77 + i));
  }

  caf::expected<bool> start(size_t i) {
    auto pending = self->request(keepers[i].handle, caf::infinite, start_atom::value);
    advance(5s);
    caf::expected<bool> result{failure(errc::timed_out, "it is no member yet")};
    if (self->has_next_message())
      pending.receive([&](bool x) { result = x; }, [&](caf::error& x) { result = std::move(x); });
    return result;
  }

  /// As a process that ends and starts again on its files.
  caf::expected<bool> restart(size_t i, const std::string& address) {
    stop(i);
    keepers[i].used.clear();
    spawn_keeper(i, address);
    return start(i);
  }

  void stop(size_t i) {
    caf::anon_send_exit(keepers[i].handle, caf::exit_reason::kill);
    keepers[i].handle = nullptr;
    run();
  }

  caf::expected<topology_reply> question(size_t i, const topology_request& x) {
    auto text = ask<std::string>(keepers[i].handle, service_atom::value, encode_text(x));
    if (!text)
      return text.error();
    return decode_topology_reply(*text);
  }

  /// As if all members said that they see each other and are filled, some epochs ago.
  caf::expected<uint64_t> report_all_well(uint64_t ago = 0) {
    change_order x;
    x.what = change_order::kind::filled;
    x.epoch = current(0).epoch - ago;
    x.reports = all_well(current(0), true);
    return ask<uint64_t>(keepers[0].handle, x);
  }
  void bring_to_rest() {
    while (!at_rest(current(0)))
      REQUIRE(report_all_well());
  }

  /// The others see it dead.
  void lose(size_t i) {
    keepers[i].reachable = false;
    for (size_t j = 0; j < keepers.size(); ++j)
      if (j != i)
        send_view(j);
    run();
  }

  void send_view(size_t i) {
    auto& k = keepers[i];
    auto& x = k.used.back();
    auto own_member = x.find(k.context->name);
    if (!own_member)
      return;
    auto view =
        std::make_shared<cluster_view>(x, static_cast<member_index>(own_member - x.members.data()));
    for (auto& y : x.members) {
      auto index = std::stoul(y.name.substr(1));
      view->alive[view->peers.size()] = keepers[index].reachable;
      view->unsure[view->peers.size()] = !keepers[index].reachable && keepers[index].unsure;
      view->peers.push_back(fake_peer(index));
    }
    caf::anon_send(k.handle, view_ptr{view});
  }

  const topology& current(size_t i) { return keepers[i].used.back(); }

  /// Those who dialed in vain are told so.
  void fail_dials() {
    for (auto& [dialer, promise] : waiting)
      caf::anon_send(caf::actor{dialer}, stop_atom::value);
    run();
    waiting.clear();
  }

  std::vector<std::string> seeds;
  std::deque<keeper> keepers;
  /// How many proposals are accepted without their proposer hearing of it.
  int accepts_unheard = 0;
  /// Answers to those who join, on their way for so long.
  caf::timespan join_answer_delay{0};
  std::deque<std::pair<caf::typed_response_promise<std::string>, std::string>> joined;
  bool dials_answered = true;
  /// Who dialed, and has not been answered.
  std::vector<std::pair<caf::event_based_actor*, caf::response_promise>> waiting;

private:
  dialer_actor fake_dialer() {
    auto gateway = fake<gateway_actor>([this](caf::event_based_actor* me) -> caf::behavior {
      return {[this, me](admin_atom atom, const std::string& command,
                         const std::vector<std::string>& arguments) {
                REQUIRE(command == "join");
                auto answer = me->make_response_promise<std::string>();
                me->request(keepers[0].handle, caf::infinite, atom, arguments.at(0))
                    .then(
                        [this, me, answer](const std::string& x) {
                          joined.emplace_back(answer, x);
                          me->delayed_send(me, join_answer_delay, turn_atom::value);
                        },
                        [answer](caf::error& x) mutable { answer.deliver(std::move(x)); });
                return answer;
              },
              [this](turn_atom) {
                auto [answer, text] = std::move(joined.front());
                joined.pop_front();
                answer.deliver(text);
              }};
    });
    return fake<dialer_actor>([this, gateway](caf::event_based_actor* me) -> caf::behavior {
      return {[this, me, gateway](dial_atom, const std::string&) -> caf::result<gateway_actor> {
                if (dials_answered)
                  return gateway;
                waiting.emplace_back(me, me->make_response_promise());
                return caf::delegated<gateway_actor>{};
              },
              [this, me](stop_atom) {
                for (auto& [dialer, promise] : waiting)
                  if (dialer == me)
                    promise.deliver(failure(errc::peer_down, "nobody is there"));
              }};
    });
  }

  /// Gives the keeper a view of what it decided.
  membership_actor fake_membership(size_t i) {
    return fake<membership_actor>([this, i](caf::event_based_actor*) -> caf::behavior {
      return {[this, i](const topology& x) {
        keepers[i].used.push_back(x);
        send_view(i);
      }};
    });
  }

  peer_actor fake_peer(size_t to) {
    return fake<peer_actor>([this, to](caf::event_based_actor* me) -> caf::behavior {
      return {[this, me, to](call_list& calls) {
        auto back = caf::actor_cast<answer_sink>(me->current_sender());
        for (auto& x : calls.calls) {
          auto tell = [me, back, id = x.id](decltype(answer::what) what) {
            me->send(back, answer_list{{{id, std::move(what)}}});
          };
          if (!keepers[to].handle || !keepers[to].reachable) {
            tell(failed_answer{errc::peer_down, true, {}});
            continue;
          }
          auto& request = std::get<service_call>(x.what).request;
          auto unheard = decode_topology_request(request)->what == kind::accept &&
                         accepts_unheard > 0 && accepts_unheard-- > 0;
          if (unheard)
            tell(failed_answer{errc::peer_down, false, {}});
          me->request(keepers[to].handle, caf::infinite, service_atom::value, request)
              .then(
                  [tell, unheard](std::string& text) {
                    if (!unheard)
                      tell(text_answer{std::move(text)});
                  },
                  [tell](const caf::error& err) {
                    tell(failed_answer{errc::refused, true, message_of(err)});
                  });
        }
      }};
    });
  }
};

paxos::vote stored_vote(keeper_world::keeper& k) {
  byte_reader in{std::string_view{k.files.at("vote")}};
  in.varint();
  auto x = paxos::decode_vote(in);
  REQUIRE(in.done());
  return x;
}

topology_request to_vote(kind what, uint64_t epoch, paxos::ballot at) {
  topology_request x;
  x.what = what;
  x.epoch = epoch;
  x.at = at;
  return x;
}

} // namespace

TEST_CASE("a node takes no part before it is known whether its data is too old") {
  keeper_world w{2};
  auto newer = *with_member(w.current(0), [&] {
    auto x = *w.current(0).find("n1");
    x.name = "n2";
    x.id = 99;
    x.cluster_address = w.address_of(2);
    return x;
  }());
  auto without = newer;
  without.members.erase(without.members.begin() + 1);
  without.epoch += 5;
  REQUIRE_FALSE(validate(without));
  // Both have been off for longer than the grace.
  w.stop(0);
  w.keepers[1].used_until = w.wall_now() - 7'200'000'000;
  w.dials_answered = false;
  REQUIRE_FALSE(w.restart(1, w.address_of(1)));
  for (auto& x : {newer, without}) {
    topology_request learn;
    learn.what = kind::learn;
    learn.epoch = x.epoch;
    learn.value = encode_blob(x);
    REQUIRE(w.question(1, learn));
    w.advance(100ms);
    CHECK(w.keepers[1].used.empty());
  }
  auto flush = w.ask<bool>(w.keepers[1].handle, flush_all_atom::value, int64_t{0});
  REQUIRE_FALSE(flush);
  CHECK(flush.error() == errc::not_a_member);
  w.fail_dials();
  w.advance(1s);
  CHECK(w.keepers[1].used.empty());
  CHECK(w.question(1, topology_request{}));
}

TEST_CASE("a node without seeds founds a cluster, and finds it again on its disk") {
  keeper_world w{1};
  REQUIRE(w.keepers[0].used.size() == 1);
  auto founded = w.current(0);
  CHECK(founded.epoch == 1);
  CHECK(founded.members.at(0).name == "n0");
  CHECK(founded.settings.partitions == 8);
  REQUIRE(w.restart(0, w.address_of(0)));
  CHECK(w.current(0) == founded);
}

TEST_CASE("a topology that can not be stored is not used") {
  keeper_world w{0};
  w.keepers.resize(1);
  w.keepers[0].disk_broken = true;
  w.spawn_keeper(0, w.address_of(0));
  auto started = w.start(0);
  REQUIRE_FALSE(started);
  INFO(message_of(started.error()));
  CHECK(started.error() == errc::storage_failed);
  CHECK(w.keepers[0].used.empty());
}

TEST_CASE("damaged files are an error, not a new cluster") {
  keeper_world w{1};
  auto good = w.keepers[0].files;
  w.keepers[0].files["topology"].pop_back();
  auto started = w.restart(0, w.address_of(0));
  REQUIRE_FALSE(started);
  CHECK(started.error() == errc::malformed);
  w.keepers[0].files = good;
  w.keepers[0].files["vote"] = "x";
  started = w.restart(0, w.address_of(0));
  REQUIRE_FALSE(started);
  CHECK(started.error() == errc::damaged);
}

TEST_CASE("data of a node that is no longer a member is not used") {
  keeper_world w{1};
  w.stop(0);
  w.spawn_keeper(0, w.address_of(0));
  w.keepers[0].context->id += 1;
  auto started = w.start(0);
  REQUIRE_FALSE(started);
  CHECK(started.error() == errc::bad_configuration);
}

TEST_CASE("a vote is on disk before it is answered") {
  keeper_world w{1};
  auto& k = w.keepers[0];
  auto granted = w.question(0, to_vote(kind::prepare, 2, {5, 99}));
  REQUIRE(granted);
  CHECK(granted->vote.granted);
  CHECK(stored_vote(k).promised == paxos::ballot{5, 99});

  k.disk_broken = true;
  auto silent = w.question(0, to_vote(kind::prepare, 2, {6, 99}));
  REQUIRE_FALSE(silent);
  CHECK(silent.error() == errc::storage_failed);
  k.disk_broken = false;
  // What was not stored was not promised.
  auto again = w.question(0, to_vote(kind::prepare, 2, {6, 99}));
  REQUIRE(again);
  CHECK(again->vote.granted);

  REQUIRE(w.restart(0, w.address_of(0)));
  auto lower = w.question(0, to_vote(kind::prepare, 2, {6, 98}));
  REQUIRE(lower);
  CHECK_FALSE(lower->vote.granted);
  CHECK(lower->vote.state.promised == paxos::ballot{6, 99});
}

TEST_CASE("votes on other epochs are not given, and an older node is sent what it misses") {
  keeper_world w{1};
  for (uint64_t epoch : {0, 1, 3, 100}) {
    auto x = w.question(0, to_vote(kind::prepare, epoch, {5, 99}));
    REQUIRE(x);
    CHECK_FALSE(x->vote.granted);
    CHECK(x->epoch == 1);
    CHECK(x->newer.empty() == (epoch > 1));
  }
  CHECK(w.keepers[0].files.count("vote") == 0);
}

TEST_CASE("bytes that are no topology are never accepted") {
  keeper_world w{1};
  REQUIRE(w.question(0, to_vote(kind::prepare, 2, {5, 99})));
  auto accept = to_vote(kind::accept, 2, {5, 99});
  accept.value = blob::copy_of("nonsense");
  CHECK_FALSE(w.question(0, accept));
  auto broken = w.current(0);
  broken.epoch = 2;
  broken.members[0].name.clear();
  accept.value = encode_blob(broken);
  CHECK_FALSE(w.question(0, accept));
  CHECK_FALSE(stored_vote(w.keepers[0]).accepted);
}

TEST_CASE("nodes that join are members for everybody, each in an epoch of its own") {
  keeper_world w{3};
  for (size_t i = 0; i < 3; ++i) {
    CHECK(w.current(i) == w.current(0));
    CHECK(w.current(i).epoch == 3);
    CHECK(w.current(i).members.size() == 3);
  }
}

TEST_CASE("an answer to a join that comes late takes the newcomer back to nothing") {
  keeper_world w{2};
  w.join_answer_delay = 1s;
  w.keepers.resize(3);
  w.spawn_keeper(2, w.address_of(2));
  w.self->send(w.keepers[2].handle, start_atom::value);
  w.advance(500ms);
  auto joined = w.current(0);
  REQUIRE(joined.find("n2"));
  CHECK(w.joined.size() == 1);
  topology_request learn;
  learn.what = kind::learn;
  learn.epoch = joined.epoch + 1;
  learn.value = encode_blob(with_flush(joined, 5, 6));
  REQUIRE(w.question(2, learn));
  REQUIRE(w.question(2, to_vote(kind::prepare, joined.epoch + 2, {5, 99}))->vote.granted);
  w.advance(2s);
  CHECK(w.joined.empty());
  CHECK(w.keepers[2].used.size() == 1);
  CHECK(w.current(2).epoch == joined.epoch + 1);
  CHECK_FALSE(w.question(2, to_vote(kind::prepare, joined.epoch + 2, {5, 99}))->vote.granted);
}

TEST_CASE("a node that joins is given its share, which is in force once all who live are filled") {
  keeper_world w{2};
  CHECK(w.current(0).find("n1")->state == member_state::arriving);
  CHECK(w.current(0).replicas == std::vector<replica_list>(8, {0}));
  REQUIRE(w.report_all_well());
  CHECK(w.current(1).find("n1")->state == member_state::joining);
  REQUIRE(w.current(1).moves.size() == 8);
  auto late = w.report_all_well(1);
  REQUIRE_FALSE(late);
  CHECK(message_of(late.error()) == "the topology changed meanwhile");
  REQUIRE(w.report_all_well());
  for (size_t i : {0, 1}) {
    CHECK(w.current(i).moves.empty());
    CHECK(w.current(i).find("n1")->state == member_state::up);
    for (auto& list : w.current(i).replicas)
      CHECK(list.size() == 2);
  }
}

TEST_CASE("an operator's change is voted on, or refused with the reason") {
  keeper_world w{3};
  w.bring_to_rest();
  auto order = [&](change_order::kind what, const std::string& name, bool forced = false) {
    change_order x;
    x.what = what;
    x.name = name;
    x.forced = forced;
    return w.ask<uint64_t>(w.keepers[0].handle, x);
  };
  using kind = change_order::kind;
  auto why = [](const caf::expected<uint64_t>& x) { return x ? "" : message_of(x.error()); };
  CHECK(why(order(kind::leave, "nobody")) == "there is no member 'nobody'");
  CHECK(why(order(kind::remove, "n1")) ==
        "'n1' is alive and answers: `leave` lets it go without a loss");
  REQUIRE(order(kind::leave, "n2"));
  CHECK(w.current(1).find("n2")->state == member_state::leaving);
  REQUIRE(order(kind::undo, ""));
  CHECK(w.current(1).find("n2")->state == member_state::up);
  REQUIRE(order(kind::leave, "n1"));
  w.bring_to_rest();
  CHECK_FALSE(w.current(0).find("n1"));
  CHECK(w.keepers[1].context->left);
  CHECK_FALSE(w.keepers[2].context->left);
  CHECK(why(order(kind::undo, "")) == "no change of members is under way");
}

TEST_CASE("a change that was decided although its votes got lost is not made once more") {
  // Who sees it through: the proposer, or another member.
  for (auto by_another : {false, true}) {
    keeper_world w{2};
    w.bring_to_rest();
    w.keepers.resize(3);
    w.spawn_keeper(2, w.address_of(2));
    REQUIRE(w.start(2));
    REQUIRE(w.report_all_well());
    change_order half;
    half.what = change_order::kind::filled;
    half.epoch = w.current(0).epoch;
    half.reports = all_well(w.current(0), true);
    for (auto& x : half.reports)
      x.filled.resize(x.filled.size() / 2);
    REQUIRE(w.ask<uint64_t>(w.keepers[0].handle, half));
    REQUIRE(w.current(0).find("n2")->state == member_state::joining);
    auto epoch = w.current(0).epoch;

    change_order undo;
    undo.what = change_order::kind::undo;
    w.accepts_unheard = by_another ? 1000 : 2;
    auto done = w.self->request(w.keepers[0].handle, caf::infinite, undo);
    w.run();
    CHECK(w.current(0).epoch == epoch);
    if (by_another) {
      topology_request learn;
      learn.what = kind::learn;
      learn.epoch = epoch + 1;
      learn.value = stored_vote(w.keepers[1]).accepted->value;
      w.accepts_unheard = 0;
      REQUIRE(w.question(0, learn));
    }
    w.advance(3s);
    REQUIRE(w.self->has_next_message());
    done.receive([&](uint64_t x) { CHECK(x == epoch + 1); },
                 [](const caf::error& x) { FAIL(message_of(x)); });
    for (size_t i = 0; i < 3; ++i) {
      CHECK(w.current(i).epoch == epoch + 1);
      CHECK(w.current(i).find("n2")->state == member_state::leaving);
    }
  }
}

TEST_CASE("a change whose vote was lost and of which nothing is known is not made once more") {
  keeper_world w{3};
  w.bring_to_rest();
  change_order leave;
  leave.what = change_order::kind::leave;
  leave.name = "n2";
  w.accepts_unheard = 2;
  auto done = w.self->request(w.keepers[0].handle, caf::infinite, leave);
  w.run();
  auto later = w.current(0);
  later.epoch += 2;
  topology_request learn;
  learn.what = kind::learn;
  learn.epoch = later.epoch;
  learn.value = encode_blob(later);
  REQUIRE(w.question(0, learn));
  w.advance(1s);
  REQUIRE(w.self->has_next_message());
  done.receive([](uint64_t) { FAIL("it was made again"); },
               [](const caf::error& x) { CHECK(x == errc::timed_out); });
  CHECK(w.current(0) == later);
}

TEST_CASE("a member that others may reach is neither removed nor replaced") {
  keeper_world w{4};
  w.bring_to_rest();
  auto epoch = w.current(0).epoch;
  auto remove = [&](bool forced) {
    change_order x;
    x.what = change_order::kind::remove;
    x.name = "n3";
    x.forced = forced;
    auto done = w.ask<uint64_t>(w.keepers[0].handle, x);
    return done ? std::string{} : message_of(done.error());
  };
  auto replace = [&] {
    auto x = *w.current(0).find("n3");
    x.id += 1;
    auto done = w.ask<std::string>(w.keepers[0].handle, admin_atom::value, encode_text(x));
    return done ? std::string{} : message_of(done.error());
  };
  auto doubt = Catch::Contains("this node does not reach 'n3', but no other member");
  w.keepers[3].unsure = true;
  w.lose(3);
  for (auto forced : {false, true})
    CHECK_THAT(remove(forced), doubt);
  CHECK_THAT(replace(), doubt);
  CHECK(w.current(0).epoch == epoch);
  // With nobody left to ask, the operator's word counts.
  for (size_t i : {1, 2}) {
    w.keepers[i].unsure = true;
    w.lose(i);
  }
  CHECK(remove(true) == "");
  CHECK(w.current(0).epoch > epoch);
}

TEST_CASE("a member that comes back while a vote waits is not replaced") {
  keeper_world w{4};
  w.bring_to_rest();
  w.lose(3);
  auto before = w.current(0);
  w.keepers[1].reachable = w.keepers[2].reachable = false;
  auto newcomer = *before.find("n3");
  newcomer.id += 1;
  auto done =
      w.self->request(w.keepers[0].handle, caf::infinite, admin_atom::value, encode_text(newcomer));
  w.advance(1s);
  CHECK_FALSE(w.self->has_next_message());
  for (size_t i : {1, 2, 3})
    w.keepers[i].reachable = true;
  w.send_view(0);
  w.advance(2s);
  REQUIRE(w.self->has_next_message());
  done.receive([](const std::string&) { FAIL("it was replaced"); },
               [](const caf::error& x) { CHECK(message_of(x) == "a member named 'n3' is alive"); });
  CHECK(w.current(0) == before);
}

TEST_CASE("without a majority a member is removed by force alone, in an epoch far ahead") {
  keeper_world w{4};
  w.bring_to_rest();
  for (size_t i : {2, 3})
    w.lose(i);
  auto epoch = w.current(0).epoch;
  change_order x;
  x.what = change_order::kind::remove;
  x.name = "n3";
  x.forced = true;
  auto imposed = w.ask<uint64_t>(w.keepers[0].handle, x);
  REQUIRE(imposed);
  CHECK(*imposed >= epoch + limits::imposed_epochs);
  CHECK(*imposed < epoch + 2 * limits::imposed_epochs);
  for (size_t i : {0, 1}) {
    CHECK(w.current(i).epoch == *imposed);
    CHECK_FALSE(w.current(i).find("n3"));
  }
  // Of the three that are left two are alive: they vote again.
  x.name = "n2";
  REQUIRE(w.ask<uint64_t>(w.keepers[0].handle, x));
  CHECK_FALSE(w.current(0).find("n2"));
  CHECK(w.current(0).epoch < *imposed + limits::imposed_epochs);
  CHECK(w.current(1) == w.current(0));
}

TEST_CASE("of two that remove by force without hearing of each other one counts in the end") {
  keeper_world w{4};
  w.bring_to_rest();
  for (auto& k : w.keepers)
    k.reachable = false;
  for (size_t i : {0, 1})
    w.send_view(i);
  w.run();
  change_order x;
  x.what = change_order::kind::remove;
  x.forced = true;
  for (size_t i : {0, 1}) {
    x.name = i == 0 ? "n2" : "n3";
    REQUIRE(w.ask<uint64_t>(w.keepers[i].handle, x));
  }
  CHECK_FALSE(w.current(0) == w.current(1));
  for (size_t i : {0, 1}) {
    topology_request learn;
    learn.what = kind::learn;
    learn.epoch = w.current(i).epoch;
    learn.value = encode_blob(w.current(i));
    REQUIRE(w.question(1 - i, learn));
  }
  CHECK(w.current(0) == w.current(1));
}

TEST_CASE("without a majority a change is refused at once, and what would help is said") {
  keeper_world w{4};
  w.bring_to_rest();
  for (size_t i : {2, 3})
    w.lose(i);
  auto before = w.current(0);
  using kind = change_order::kind;
  struct row {
    kind what;
    const char* name;
    const char* why;
  };
  for (auto& [what, name, why] :
       std::vector<row>{{kind::leave, "n1", "only 2 of 4 members are alive"},
                        {kind::remove, "n3", "give them up with `remove NAME --force`, one by one"},
                        {kind::remove, "n1", "'n1' is alive"},
                        {kind::remove, "nobody", "no member 'nobody'"},
                        {kind::undo, "", "no change of members is under way"}}) {
    change_order x;
    x.what = what;
    x.name = name;
    auto done = w.ask<uint64_t>(w.keepers[0].handle, x);
    REQUIRE_FALSE(done);
    CHECK_THAT(message_of(done.error()), Catch::Contains(why));
  }
  CHECK(w.current(0) == before);
  CHECK(w.current(1) == before);
}

TEST_CASE("an epoch is decided with one of three members down, and learnt when it is back") {
  keeper_world w{3};
  w.keepers[2].reachable = false;
  auto done =
      w.self->request(w.keepers[0].handle, caf::infinite, flush_all_atom::value, int64_t{0});
  w.advance(1s);
  REQUIRE(w.self->has_next_message());
  done.receive([](bool x) { CHECK(x); }, [](const caf::error& x) { FAIL(message_of(x)); });
  CHECK(w.current(0).epoch == 4);
  CHECK(w.current(0).flushed.ahead > 0);
  CHECK(w.current(1) == w.current(0));
  CHECK(w.current(2).epoch == 3);
  w.keepers[2].reachable = true;
  w.self->send(w.keepers[2].handle, epoch_atom::value, uint64_t{4}, std::string{"n0"});
  w.advance(100ms);
  CHECK(w.current(2) == w.current(0));
}

TEST_CASE("a flush takes effect at once also where the clock is far ahead of the wall clock") {
  keeper_world w{3};
  for (auto& k : w.keepers)
    k.context->clock.observe(w.wall_now() + 8'000'000);
  auto before = w.keepers[2].context->issue();
  auto done =
      w.self->request(w.keepers[0].handle, caf::infinite, flush_all_atom::value, int64_t{0});
  w.advance(100ms);
  REQUIRE(w.self->has_next_message());
  done.receive([](bool x) { CHECK(x); }, [](const caf::error& x) { FAIL(message_of(x)); });
  // The others hear of its clock with the next message; no message here brings it.
  auto& context = *w.keepers[0].context;
  CHECK(context.flushed() > before);
  CHECK(context.issue() > context.flushed());
  for (auto& k : w.keepers)
    CHECK(k.context->flushed_at(context.now()) == context.flushed());
}

TEST_CASE("without a majority nothing is decided, and with one again what is still waited for") {
  keeper_world w{3};
  w.keepers[1].reachable = w.keepers[2].reachable = false;
  auto done =
      w.self->request(w.keepers[0].handle, caf::infinite, flush_all_atom::value, int64_t{0});
  w.advance(1s);
  CHECK_FALSE(w.self->has_next_message());
  CHECK(w.current(0).epoch == 3);
  w.keepers[1].reachable = w.keepers[2].reachable = true;
  w.advance(1s);
  REQUIRE(w.self->has_next_message());
  done.receive([](bool x) { CHECK(x); }, [](const caf::error& x) { FAIL(message_of(x)); });
  for (size_t i = 0; i < 3; ++i)
    CHECK(w.current(i).epoch == 4);
}

TEST_CASE("a flush that failed for want of a majority is not made when there is one again") {
  keeper_world w{3};
  w.keepers[1].reachable = w.keepers[2].reachable = false;
  auto done =
      w.self->request(w.keepers[0].handle, caf::infinite, flush_all_atom::value, int64_t{0});
  w.advance(10s);
  REQUIRE(w.self->has_next_message());
  done.receive([](bool) { FAIL("it was flushed"); },
               [](const caf::error& x) { CHECK(x == errc::timed_out); });
  w.keepers[1].reachable = w.keepers[2].reachable = true;
  // It votes again, and what failed is not part of it.
  REQUIRE(w.report_all_well());
  w.advance(3s);
  for (size_t i = 0; i < 3; ++i) {
    CHECK(w.current(i).epoch == 4);
    CHECK(w.current(i).flushed == flush_marks{});
  }
}

TEST_CASE("a newcomer that asks again and again waits once, and is let in as it is last") {
  keeper_world w{3};
  w.keepers[1].reachable = w.keepers[2].reachable = false;
  auto newcomer = *w.current(0).find("n2");
  newcomer.name = "n3";
  newcomer.cluster_address = w.address_of(3);
  size_t refused = 0;
  auto join = [&](node_id id) {
    newcomer.id = id;
    w.self->send(w.keepers[0].handle, admin_atom::value, encode_text(newcomer));
    w.advance(100ms);
    while (w.self->has_next_message())
      w.self->receive([&](const std::string&) { FAIL("it is a member"); },
                      [&](const caf::error&) { ++refused; });
  };
  for (node_id id = 100; id < 120; ++id)
    join(id);
  CHECK(refused == 19);
  w.keepers.resize(4);
  w.keepers[1].reachable = w.keepers[2].reachable = true;
  w.advance(1s);
  REQUIRE(w.current(0).find("n3"));
  CHECK(w.current(0).find("n3")->id == 119);
  CHECK(w.current(0).epoch == 4);
}

TEST_CASE("a newcomer that is given up does not become a member later") {
  keeper_world w{3};
  w.keepers[1].reachable = w.keepers[2].reachable = false;
  auto newcomer = *w.current(0).find("n2");
  newcomer.name = "n3";
  newcomer.id = 100;
  newcomer.cluster_address = w.address_of(3);
  w.self->send(w.keepers[0].handle, admin_atom::value, encode_text(newcomer));
  w.advance(10s);
  w.keepers[1].reachable = w.keepers[2].reachable = true;
  w.advance(3s);
  w.self->receive([](const caf::error& x) { CHECK(x == errc::timed_out); });
  CHECK_FALSE(w.current(0).find("n3"));
}

TEST_CASE("changes that several nodes want at once are all decided, one epoch after another") {
  keeper_world w{3};
  for (int round = 0; round < 3; ++round)
    for (auto& k : w.keepers)
      w.self->send(k.handle, flush_all_atom::value, int64_t{0});
  w.advance(20s);
  for (size_t i = 0; i < 3; ++i) {
    CHECK(w.current(i) == w.current(0));
    CHECK(w.current(i).epoch > 3);
    auto epoch = w.keepers[i].used.front().epoch;
    for (auto& x : w.keepers[i].used)
      CHECK(x.epoch >= epoch);
  }
  for (auto& a : w.keepers)
    for (auto& b : w.keepers)
      for (auto& x : a.used)
        for (auto& y : b.used)
          if (x.epoch == y.epoch)
            CHECK(x == y);
  size_t answered = 0;
  while (w.self->has_next_message())
    w.self->receive([&](bool x) { answered += x; });
  CHECK(answered == 9);
}

TEST_CASE("members that come back on other addresses tell the rest, even on each other's") {
  keeper_world w{3};
  REQUIRE(w.restart(2, "127.0.0.1:8000"));
  w.advance(2s);
  CHECK(w.current(0).find("n2")->cluster_address == "127.0.0.1:8000");
  w.stop(1);
  REQUIRE(w.restart(2, w.address_of(1)));
  w.advance(2s);
  CHECK(w.current(0).find("n2")->cluster_address == w.address_of(1));
  w.keepers[1].used.clear();
  w.spawn_keeper(1, w.address_of(2));
  REQUIRE(w.start(1));
  w.advance(3s);
  for (size_t i = 0; i < 3; ++i) {
    CHECK(w.current(i) == w.current(0));
    CHECK(w.current(i).find("n1")->cluster_address == w.address_of(2));
    CHECK(w.current(i).find("n2")->cluster_address == w.address_of(1));
  }
}

TEST_CASE("a newcomer that crashed when it was let in, and starts elsewhere, says where it is") {
  keeper_world w{3};
  auto& files = w.keepers[2].files;
  files.clear();
  REQUIRE(w.restart(2, "127.0.0.1:8000"));
  w.advance(2s);
  for (size_t i = 0; i < 3; ++i)
    CHECK(w.current(i).find("n2")->cluster_address == "127.0.0.1:8000");
}

TEST_CASE("a member that comes back in another zone has the replicas planned for that") {
  keeper_world w{3};
  w.bring_to_rest();
  w.keepers[2].zone = "cellar";
  REQUIRE(w.restart(2, w.address_of(2)));
  w.advance(2s);
  auto epoch = w.current(0).epoch;
  for (size_t i = 0; i < 3; ++i)
    CHECK(w.current(i).find("n2")->zone == "cellar");
  // Once is enough.
  REQUIRE(w.restart(2, w.address_of(2)));
  w.advance(2s);
  CHECK(w.current(0).epoch == epoch);
}
