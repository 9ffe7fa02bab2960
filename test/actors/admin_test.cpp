#include "actors/admin.hpp"

#include <catch2/catch.hpp>

#include <caf/event_based_actor.hpp>

#include "protocol/topology_messages.hpp"
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
    handle = own(sys.spawn(admin, make_context("n0"), sources));
  }

  uint64_t hints_told() {
    auto text = ask<std::string>(handle, service_atom::value, std::string{"filled"});
    REQUIRE(text);
    auto report = decode_fill_report(*text);
    REQUIRE(report);
    return report->hints;
  }

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
