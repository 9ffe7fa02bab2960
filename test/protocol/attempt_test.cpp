#include <catch2/catch.hpp>

#include "protocol/mutation.hpp"
#include "protocol/quorum.hpp"

using namespace kai;

namespace {

constexpr timestamp forever = UINT64_MAX;

record on(record x, dot written, bool tombstone = false) {
  version v;
  v.written = written;
  v.tombstone = tombstone;
  v.value = blob::copy_of(tombstone ? "" : "value");
  overwrite(x, v);
  return x;
}

} // namespace

TEST_CASE("what became of an attempt, by what R replicas hold") {
  // Node 1 tried it at 20, on what it had written at 10.
  const dot tried{1, 20};
  auto base = on({}, {1, 10});
  auto placed = on(base, tried);
  auto rival = on(base, {2, 15});
  auto before = on({}, {2, 5});
  auto after = on(base, {2, 25});
  auto noted = base;
  note_seen(noted.seen, {1, 30});
  struct row {
    const char* what;
    record now;
    timestamp known_until;
    attempt_end end;
  };
  using enum attempt_end;
  const row table[] = {
      {"it is nowhere", base, 0, none},
      {"nothing is there", {}, forever, none},
      {"it is there", placed, 0, happened},
      {"beside what it did not know and what clients saw", merge(placed, rival), 0, none},
      {"the same, but it is stored at its leader", merge(placed, rival), forever, none},
      {"beside what its base had won over already", merge(placed, before), 0, happened},
      {"what it did not know wins over it", merge(placed, after), 0, none},
      {"the same, and it came first at its leader", merge(placed, after), forever, happened},
      {"another leader has replaced it", on(placed, {2, 25}), 0, happened},
      {"its leader has, while it waited there", on(base, {1, 30}), 30, happened},
      {"its leader has, and may have forgotten it before", on(base, {1, 30}), 29, unknown},
      {"the same, but it is stored there", on(base, {1, 30}), forever, happened},
      {"its leader has, and others beside", merge(on(base, {1, 30}), rival), 30, unknown},
      {"covered by a later dot that is not there", on(noted, {2, 40}), 30, unknown},
  };
  for (auto& x : table) {
    INFO(x.what);
    CHECK(end_of({tried, {1, 10}, {}, x.known_until}, x.now) == x.end);
  }
}

TEST_CASE("a write that changes nothing can write what is there once more") {
  constexpr circumstances around{100, 0, 1000};
  mutation add;
  add.kind = mutation_kind::add;
  auto there = on({}, {1, 10});
  auto x = decide(add, there, around);
  REQUIRE_FALSE(x.next);
  write_anyway(x, there, around);
  CHECK(x.answer.kind == outcome_kind::not_stored);
  REQUIRE(x.next);
  CHECK(x.next->kept_cas == cas_unique(there));
  CHECK(x.next->value == there.versions[0].value);

  mutation touch;
  touch.kind = mutation_kind::touch;
  for (auto& gone : {record{}, on({}, {1, 10}, true)}) {
    auto y = decide(touch, gone, around);
    write_anyway(y, gone, around);
    CHECK(y.answer.kind == outcome_kind::not_found);
    REQUIRE(y.next);
    CHECK(y.next->tombstone);
  }
}

TEST_CASE("a decision that somebody accepted under older lists is somewhere, whoever refuses now") {
  struct row {
    const char* what;
    bool nowhere;
    bool by_lists;
    bool unchanged;
  };
  const row table[] = {
      {"asked for the first time, and all know other lists", true, true, true},
      {"accepted before, and all know other lists", false, true, false},
      {"asked for the first time, and all have another write", true, false, true},
      {"accepted before, and all have another write", false, false, false},
  };
  for (auto& x : table) {
    INFO(x.what);
    auto core = write_core::of_decision({3, 2}, 0, x.nowhere);
    for (size_t place : {1, 2})
      if (x.by_lists)
        core.on_failure(place, {errc::not_owner, true, {}});
      else
        core.on_refused(place);
    CHECK(core.finished());
    CHECK(core.failure().unchanged == x.unchanged);
    CHECK(core.only_refused() == (!x.by_lists && x.unchanged));
  }
}

TEST_CASE("a decision that all have refused is nowhere, whoever would have stood in") {
  auto core = write_core::of_decision({3, 2}, 0);
  core.on_replica_down(1, true);
  CHECK(core.on_failure(2, {errc::not_owner, true, {}}) == write_core::verdict::failed);
  CHECK(core.finished());
  CHECK(core.failure().unchanged);
}
