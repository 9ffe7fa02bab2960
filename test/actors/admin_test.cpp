#include "actors/admin.hpp"

#include <catch2/catch.hpp>

#include <caf/event_based_actor.hpp>
#include <nlohmann/json.hpp>

#include "actors/cluster_view.hpp"
#include "protocol/topology_messages.hpp"
#include "protocol/topology_rules.hpp"
#include "test/support/virtual_time.hpp"

using namespace kai;

namespace {

/// An admin actor of a node whose vnode says what the test wants.
struct admin_world : virtual_time {
  admin_world() {
    admin_sources sources;
    sources.vnodes = {fake<vnode_actor>([this](caf::event_based_actor*) -> caf::behavior {
      return {[this](report_atom) { return held; }};
    })};
    sources.sync = fake<sync_actor>([](caf::event_based_actor*) -> caf::behavior {
      return {[](report_atom) { return sync_report{}; }};
    });
    sources.handoff = fake<handoff_actor>([](caf::event_based_actor*) -> caf::behavior {
      return {[](report_atom) { return handoff_report{}; }};
    });
    handle = own(sys.spawn(admin, context, sources));
  }

  uint64_t hints_told() {
    auto text = ask<std::string>(handle, service_atom::value, std::string{"filled"});
    REQUIRE(text);
    auto report = decode_fill_report(*text);
    REQUIRE(report);
    return report->hints;
  }

  context_ptr context = make_context("n0");
  vnode_report held;
  admin_actor handle;
};

} // namespace

TEST_CASE("a node that still counts its hints does not say that it has none") {
  admin_world w;
  CHECK(w.hints_told() == 0);
  w.held.hints.exact = false;
  CHECK(w.hints_told() == 1);
  w.held.hints.held["n1"].count = 7;
  CHECK(w.hints_told() == 7);
  w.held.hints.exact = true;
  CHECK(w.hints_told() == 7);
}

TEST_CASE("a node that leaves takes no more hints once it has said that it has none") {
  admin_world w;
  auto topo = found(1, {2, 1, 1, 1}, member{"n0", "", "", "127.0.0.1:1", 1});
  auto use = [&](member_state state) {
    topo.members[0].state = state;
    auto view = std::make_shared<cluster_view>(topo, member_index{0});
    view->alive = {true};
    caf::anon_send(w.handle, view_ptr{std::move(view)});
    w.run();
  };
  use(member_state::up);
  CHECK(w.hints_told() == 0);
  CHECK(w.context->takes_hints);
  use(member_state::leaving);
  w.held.hints.held["n1"].count = 7;
  CHECK(w.hints_told() == 7);
  CHECK(w.context->takes_hints);
  w.held.hints.held.clear();
  CHECK(w.hints_told() == 0);
  CHECK_FALSE(w.context->takes_hints);
  // It stays after all.
  use(member_state::up);
  CHECK(w.context->takes_hints);
}

TEST_CASE("two members of which one does not reach the other are not settled") {
  admin_world w;
  auto peer_that_says = [&](std::function<std::string()> report) {
    return w.fake<peer_actor>([report](caf::event_based_actor* self) -> caf::behavior {
      return {[=](call_list& calls) {
        answer_list answers;
        for (auto& x : calls.calls)
          answers.answers.push_back(answer{x.id, text_answer{report()}});
        self->send(caf::actor_cast<answer_sink>(self->current_sender()), std::move(answers));
      }};
    });
  };
  auto topo = found(1, {2, 1, 1, 1}, member{"n0", "", "", "127.0.0.1:1", 1});
  topo.members.push_back({"n1", "", "", "127.0.0.1:2", 2});
  auto view = std::make_shared<cluster_view>(topo, member_index{0});
  view->alive = {true, true};
  auto report = nlohmann::json::parse(R"({"state": "up", "epoch": 1, "recovering": 0, "replicas": 1,
      "keys": 0, "bytes": 0, "hints": 0, "hints_for": {}, "dropping": 0, "unequal": {},
      "down_since": {}})");
  auto of_n1 = report;
  view->peers = {peer_that_says([&] { return report.dump(); }),
                 peer_that_says([&] { return of_n1.dump(); })};
  caf::anon_send(w.handle, view_ptr{std::move(view)});
  w.run();
  auto status = [&] {
    auto text = w.ask<std::string>(w.handle, admin_atom::value, std::string{"status"},
                                   std::vector<std::string>{});
    REQUIRE(text);
    return nlohmann::json::parse(*text);
  };
  CHECK(status()["settled"] == true);
  of_n1["down_since"]["n0"] = 5;
  auto now = status();
  CHECK(now["settled"] == false);
  CHECK(now["waiting_for"] == nlohmann::json{"n1 does not reach n0"});
}
