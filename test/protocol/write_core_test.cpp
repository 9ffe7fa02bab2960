// long: every rule of W by itself, and in every order of events
#include <algorithm>
#include <array>
#include <optional>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include <catch2/catch.hpp>

#include "protocol/quorum.hpp"

using namespace kai;

namespace {

using verdict = write_core::verdict;

const failed_answer timed_out{errc::timed_out, false, {}};
const failed_answer down{errc::peer_down, true, {}};

enum class place { waiting, stored, stand_in, hinted, failed };

/// Walks through everything that can happen at each place, in every order, beside a plain count of
/// what happened.
class every_order {
public:
  every_order(size_t n, size_t quorum) : quorum_(quorum), places_(n, place::waiting) {}

  /// Empty, or what went wrong and where.
  std::string walk() {
    step(write_core{{places_.size(), quorum_}}, false);
    return defect_;
  }
  size_t ends() const { return ends_; }

private:
  size_t number(place x) const {
    return static_cast<size_t>(std::count(places_.begin(), places_.end(), x));
  }

  verdict expected() const {
    auto stored = number(place::stored);
    if (stored >= quorum_)
      return verdict::done;
    auto alive = stored + number(place::waiting);
    if (alive < quorum_ && stored + number(place::hinted) >= quorum_)
      return verdict::done;
    return places_.size() - number(place::failed) < quorum_ ? verdict::failed : verdict::wait;
  }

  template <class Event>
  void branch(const write_core& core, bool decided, size_t i, place then, Event event) {
    auto before = places_[i];
    places_[i] = then;
    auto next = core;
    auto got = event(next);
    if (got != (decided ? verdict::wait : expected()) && defect_.empty()) {
      defect_ = "at";
      for (auto x : places_)
        defect_ += ' ' + std::to_string(static_cast<int>(x));
    }
    step(next, decided || got != verdict::wait);
    places_[i] = before;
  }

  void step(const write_core& core, bool decided) {
    auto over = true;
    for (size_t i = 0; i < places_.size() && defect_.empty(); ++i) {
      auto now = places_[i];
      if (now != place::waiting && now != place::stand_in)
        continue;
      over = false;
      auto failed = [i](write_core& x) { return x.on_failure(i, down); };
      branch(core, decided, i, place::failed, failed);
      if (now == place::stand_in) {
        branch(core, decided, i, place::hinted, [i](write_core& x) { return x.on_hint(i); });
        continue;
      }
      branch(core, decided, i, place::stored, [i](write_core& x) { return x.on_stored(i); });
      branch(core, decided, i, place::stand_in,
             [i](write_core& x) { return x.on_replica_down(i, true); });
      branch(core, decided, i, place::failed,
             [i](write_core& x) { return x.on_replica_down(i, false); });
    }
    if (core.finished() != over && defect_.empty())
      defect_ = "finished is wrong";
    if (over && !decided && defect_.empty())
      defect_ = "it ended undecided";
    ends_ += over;
  }

  size_t quorum_;
  std::vector<place> places_;
  std::string defect_;
  size_t ends_ = 0;
};

/// Follows a decision through every way that its calls can end, in the order that the coordinator
/// keeps: replicas first, hints once the leader's own replica has been asked.
class every_end {
public:
  every_end(size_t replicas, size_t needed) : replicas_(replicas), needed_(needed) {}

  /// How many ways led to nothing under way and no verdict.
  size_t stuck = 0;
  size_t ends = 0;
  std::string first_stuck;

  void run() {
    // Each of the others is asked, known to be down, or down for this node only.
    size_t starts = 1;
    for (size_t i = 1; i < replicas_; ++i)
      starts *= 3;
    for (size_t start = 0; start < starts; ++start) {
      auto core = write_core::of_decision({replicas_, needed_}, 0);
      std::vector<call> calls(replicas_, call::over);
      std::vector<bool> unsure(replicas_);
      auto code = start;
      auto how = "N=" + std::to_string(replicas_) + " W=" + std::to_string(needed_) + " from " +
                 std::to_string(start);
      auto verdict = write_core::verdict::wait;
      for (size_t i = 1; i < replicas_; ++i, code /= 3) {
        calls[i] = code % 3 == 0 ? call::store : call::hint_due;
        unsure[i] = code % 3 == 2;
        if (calls[i] == call::hint_due && verdict == write_core::verdict::wait)
          verdict = core.on_replica_down(i, true, true, !unsure[i]);
      }
      if (verdict == write_core::verdict::wait)
        verdict = core.on_asked();
      go_on(core, calls, unsure, verdict, how);
    }
  }

private:
  enum class call { over, store, hint_due, hint };

  void go_on(write_core core, std::vector<call> calls, const std::vector<bool>& unsure,
             write_core::verdict verdict, const std::string& how) {
    if (verdict == write_core::verdict::commit) {
      calls[0] = call::store;
      verdict = write_core::verdict::wait;
      for (size_t i = 1; i < replicas_ && verdict == write_core::verdict::wait; ++i)
        if (calls[i] == call::hint_due) {
          calls[i] = call::hint;
          verdict = core.on_replica_down(i, true, true, !unsure[i]);
        }
    }
    if (verdict != write_core::verdict::wait) {
      ++ends;
      return;
    }
    for (auto what : {call::store, call::hint})
      for (size_t i = 0; i < replicas_; ++i)
        if (calls[i] == what)
          return end_call(core, calls, unsure, i, how + ", " + std::to_string(i));
    ++stuck;
    if (first_stuck.empty())
      first_stuck = how;
  }

  void end_call(const write_core& core, const std::vector<call>& calls,
                const std::vector<bool>& unsure, size_t place, const std::string& how) {
    auto after = [&](const char* what, call then, auto change) {
      auto next = core;
      auto open = calls;
      open[place] = then;
      auto verdict = change(next);
      go_on(std::move(next), std::move(open), unsure, verdict, how + what);
    };
    const failed_answer late{errc::timed_out, false, {}};
    const failed_answer elsewhere{errc::not_owner, true, {}};
    if (calls[place] == call::hint) {
      after(" hinted", call::over, [&](auto& x) { return x.on_hint(place); });
      after(" keeps no hint", call::over, [&](auto& x) { return x.on_failure(place, late); });
      return;
    }
    after(" stored", call::over, [&](auto& x) { return x.on_stored(place); });
    after(" refused", call::over, [&](auto& x) { return x.on_refused(place); });
    after(" late", call::over, [&](auto& x) { return x.on_failure(place, late); });
    after(" elsewhere", call::over, [&](auto& x) { return x.on_failure(place, elsewhere); });
    if (place != 0)
      after(" down", core.held() ? call::hint_due : call::hint,
            [&](auto& x) { return x.on_replica_down(place, true, true, true); });
  }

  size_t replicas_;
  size_t needed_;
};

} // namespace

TEST_CASE("however its calls end, a decision is done or has failed") {
  for (size_t replicas = 1; replicas <= 6; ++replicas)
    for (size_t needed = 1; needed <= replicas; ++needed) {
      every_end x{replicas, needed};
      x.run();
      INFO(x.first_stuck);
      CHECK(x.stuck == 0);
      CHECK(x.ends > 0);
    }
}

TEST_CASE("a write is done when W replicas have it, and says so once") {
  write_core core{{3, 2}};
  CHECK(core.on_stored(0) == verdict::wait);
  CHECK(core.on_stored(2) == verdict::done);
  CHECK_FALSE(core.finished());
  CHECK(core.on_stored(1) == verdict::wait);
  CHECK(core.finished());
}

TEST_CASE("a hint does not count while W replicas are alive") {
  write_core core{{3, 2}};
  CHECK(core.on_replica_down(0, true) == verdict::wait);
  CHECK(core.on_hint(0) == verdict::wait);
  CHECK(core.on_stored(1) == verdict::wait);
  CHECK(core.on_stored(2) == verdict::done);
}

TEST_CASE("hints count where fewer than W replicas are alive") {
  write_core core{{3, 2}};
  CHECK(core.on_replica_down(0, true) == verdict::wait);
  CHECK(core.on_replica_down(1, true) == verdict::wait);
  CHECK(core.on_hint(0) == verdict::wait);
  CHECK(core.on_stored(2) == verdict::done);

  write_core nobody{{3, 2}};
  for (size_t i = 0; i < 3; ++i)
    nobody.on_replica_down(i, true);
  CHECK(nobody.on_hint(2) == verdict::wait);
  CHECK(nobody.on_hint(1) == verdict::done);
}

TEST_CASE("a hint that waited counts as soon as a replica turns out to be dead") {
  write_core core{{3, 2}};
  core.on_replica_down(0, true);
  core.on_hint(0);
  core.on_stored(1);
  CHECK(core.on_failure(2, timed_out) == verdict::done);
}

TEST_CASE("a write fails when W can not be reached any more") {
  write_core core{{3, 2}};
  CHECK(core.on_failure(0, down) == verdict::wait);
  CHECK(core.on_failure(1, down) == verdict::failed);
  CHECK(core.failure().message == "0 of 3 replicas answered, 2 needed");
  CHECK(core.failure().reason == errc::quorum_failed);
}

TEST_CASE("a failed write is unchanged only if it certainly is nowhere") {
  const failed_answer full{errc::out_of_memory, true, {}};
  write_core refused{{2, 2}};
  refused.on_failure(0, full);
  // The other has not answered: it may have it.
  CHECK_FALSE(refused.failure().unchanged);
  refused.on_failure(1, full);
  CHECK(refused.failure().unchanged);
  CHECK(refused.failure().reason == errc::out_of_memory);

  write_core silent{{2, 2}};
  silent.on_failure(0, full);
  silent.on_failure(1, timed_out);
  CHECK_FALSE(silent.failure().unchanged);

  write_core broken{{1, 1}};
  broken.on_failure(0, {errc::storage_failed, false, {}});
  CHECK_FALSE(broken.failure().unchanged);

  write_core partly{{2, 2}};
  partly.on_stored(0);
  partly.on_failure(1, full);
  CHECK_FALSE(partly.failure().unchanged);
}

TEST_CASE("in every order of events a write ends as a plain count of them says") {
  size_t ends = 0;
  for (size_t n = 1; n <= 4; ++n)
    for (size_t w = 1; w <= n; ++w) {
      INFO("N " << n << " W " << w);
      every_order all{n, w};
      REQUIRE(all.walk().empty());
      ends += all.ends();
    }
  CHECK(ends > 100'000);
}

TEST_CASE("replicas that refuse a write are alive, and do not let hints count") {
  write_core core{{3, 2}};
  CHECK(core.on_stored(0) == verdict::wait);
  CHECK(core.on_refused(1) == verdict::wait);
  CHECK(core.on_replica_down(2, true) == verdict::failed);
  CHECK(core.failure().reason == errc::contended);
}

TEST_CASE("nor does a replica that knows of other lists: its readers would miss the hint") {
  const failed_answer moved_on{errc::not_owner, true, {}};
  write_core core{{3, 2}};
  core.on_stored(0);
  core.on_replica_down(1, true);
  CHECK(core.on_failure(2, moved_on) == verdict::failed);
  CHECK(core.failure().reason == errc::not_owner);
  // Only this node is alive beside it.
  write_core hinted{{3, 2}};
  hinted.on_replica_down(1, true);
  hinted.on_hint(1);
  hinted.on_failure(2, moved_on);
  CHECK(hinted.on_stored(0) == verdict::failed);
}

TEST_CASE("no hint counts in the place of a replica that may be alive for others") {
  write_core core{{3, 2}};
  CHECK(core.on_stored(0) == verdict::wait);
  CHECK(core.on_replica_down(1, true, true, false) == verdict::wait);
  CHECK(core.on_hint(1) == verdict::wait);
  CHECK(core.on_replica_down(2, true) == verdict::failed);
  write_core both{{3, 2}};
  both.on_stored(0);
  both.on_replica_down(1, true);
  CHECK(both.on_replica_down(2, true) == verdict::wait);
  CHECK(both.on_hint(2) == verdict::done);
}

TEST_CASE("a write does not fail for doubt while it may turn out that too few are alive") {
  write_core core{{3, 2}};
  CHECK(core.on_replica_down(0, true, true, false) == verdict::wait);
  CHECK(core.on_replica_down(1, true) == verdict::wait);
  CHECK(core.on_replica_down(2, false) == verdict::wait);
  CHECK(core.on_hint(1) == verdict::wait);
  CHECK(core.on_hint(0) == verdict::done);
}

TEST_CASE("the leader's own replica takes a decision last") {
  auto core = write_core::of_decision({3, 2}, 0);
  CHECK(core.held());
  CHECK(core.on_stored(2) == verdict::commit);
  CHECK_FALSE(core.held());
  CHECK(core.on_stored(0) == verdict::done);
  CHECK(core.on_stored(1) == verdict::wait);
  CHECK(core.finished());

  auto all = write_core::of_decision({3, 3}, 1);
  CHECK(all.on_stored(0) == verdict::wait);
  CHECK(all.on_stored(2) == verdict::commit);
  CHECK(all.on_stored(1) == verdict::done);

  auto others = write_core::of_decision({3, 2}, 0);
  CHECK(others.on_stored(1) == verdict::commit);
  CHECK(others.on_stored(2) == verdict::done);
}

TEST_CASE("hints make no decision without more than half of the replicas") {
  auto alone = write_core::of_decision({3, 2}, 0);
  CHECK(alone.on_replica_down(1, true) == verdict::wait);
  CHECK(alone.on_replica_down(2, true) == verdict::failed);
  CHECK(alone.held());
  CHECK(alone.failure().message == "0 of 3 replicas answered, 2 needed");

  auto most = write_core::of_decision({3, 3}, 0);
  CHECK(most.on_replica_down(1, true) == verdict::wait);
  CHECK(most.on_stored(2) == verdict::commit);
  CHECK(most.on_hint(1) == verdict::wait);
  CHECK(most.on_stored(0) == verdict::done);
}

TEST_CASE("a decision that nobody accepted was refused and may be made anew") {
  auto core = write_core::of_decision({3, 2}, 0);
  core.on_refused(1);
  CHECK_FALSE(core.only_refused());
  CHECK(core.on_refused(2) == verdict::failed);
  CHECK(core.only_refused());
  CHECK(core.failure().unchanged);
  CHECK(core.failure().reason == errc::contended);
}

TEST_CASE("a decision that another replica may have can not be made anew") {
  auto core = write_core::of_decision({3, 2}, 0);
  core.on_refused(1);
  CHECK(core.on_failure(2, timed_out) == verdict::failed);
  CHECK_FALSE(core.only_refused());
  CHECK_FALSE(core.failure().unchanged);
  auto more = write_core::of_decision({5, 3}, 0);
  more.on_stored(1);
  more.on_refused(2);
  more.on_refused(3);
  CHECK(more.on_refused(4) == verdict::failed);
  CHECK_FALSE(more.only_refused());
  CHECK_FALSE(more.failure().unchanged);
}

namespace {

/// Two leaders of one key, each with a decision that does not know the other's, and three replicas
/// that accept and refuse as vnodes do.
class two_leaders {
public:
  explicit two_leaders(uint64_t seed) : random_(seed) {
    for (size_t d = 0; d < 2; ++d)
      for (size_t place = 0; place < 3; ++place)
        if (place != d)
          due_.push_back({d, place});
  }

  void run() {
    while (!due_.empty()) {
      std::swap(due_[random_() % due_.size()], due_.back());
      auto [d, place] = due_.back();
      due_.pop_back();
      deliver(d, place);
    }
  }

  std::array<bool, 2> done{};
  /// Which decision each replica has.
  std::array<std::optional<size_t>, 3> stored;

private:
  void deliver(size_t d, size_t place) {
    auto& core = cores_[d];
    auto held = place < 2 && place != d && cores_[place].held() && !failed_[place];
    auto other = held || (stored[place] && *stored[place] != d);
    switch (random_() % 8) {
    case 0: return settle(d, core.on_replica_down(place, true));
    case 1: return settle(d, core.on_failure(place, timed_out));
    default: break;
    }
    if (other)
      return settle(d, core.on_refused(place));
    stored[place] = d;
    // The answer may be lost.
    settle(d, random_() % 8 == 0 ? core.on_failure(place, timed_out) : core.on_stored(place));
  }

  void settle(size_t d, verdict x) {
    if (x == verdict::commit)
      due_.push_back({d, d});
    done[d] = done[d] || x == verdict::done;
    failed_[d] = failed_[d] || x == verdict::failed;
  }

  std::mt19937_64 random_;
  std::array<write_core, 2> cores_{write_core::of_decision({3, 2}, 0),
                                   write_core::of_decision({3, 2}, 1)};
  std::array<bool, 2> failed_{};
  std::vector<std::pair<size_t, size_t>> due_;
};

} // namespace

TEST_CASE("of two decisions that do not know each other one is done at most") {
  size_t one = 0;
  for (uint64_t seed = 0; seed < 20'000; ++seed) {
    INFO("seed " << seed);
    two_leaders world{seed};
    world.run();
    REQUIRE_FALSE((world.done[0] && world.done[1]));
    for (size_t d = 0; d < 2; ++d)
      if (world.done[d]) {
        ++one;
        REQUIRE(std::count(world.stored.begin(), world.stored.end(), d) >= 2);
      }
  }
  CHECK(one > 5'000);
}

TEST_CASE("a write that one replica refused is done when W others took it") {
  write_core core{{3, 2}};
  core.on_stored(0);
  core.on_refused(1);
  CHECK(core.on_stored(2) == verdict::done);
}

TEST_CASE("a decision that goes on in a list of one replica is its leader's") {
  auto core = write_core::of_decision({1, 1}, 0);
  CHECK(core.on_asked() == verdict::commit);
  CHECK(core.on_stored(0) == verdict::done);
  CHECK(write_core::of_decision({3, 2}, 0).on_asked() == verdict::wait);
}

TEST_CASE("a decision has to be accepted in both lists before its leader takes it") {
  quorum_rule rule{3, 2};
  rule.places = 5;
  rule.target = 0b11010; // places 1, 3 and 4
  rule.target_needed = 2;
  // The leader is in force only.
  auto core = write_core::of_decision(rule, 0);
  CHECK(core.on_stored(2) == verdict::wait);
  CHECK(core.on_stored(3) == verdict::wait);
  CHECK(core.on_stored(1) == verdict::commit);
  CHECK(core.on_stored(0) == verdict::done);
  CHECK_FALSE(core.finished());
  // In both of them.
  auto both = write_core::of_decision(rule, 1);
  CHECK(both.on_stored(0) == verdict::wait);
  CHECK(both.on_stored(4) == verdict::commit);
  CHECK(both.on_stored(1) == verdict::done);
  // Hints make no decision in the list to come either.
  auto hints = write_core::of_decision(rule, 1);
  CHECK(hints.on_stored(0) == verdict::wait);
  CHECK(hints.on_replica_down(3, true) == verdict::wait);
  CHECK(hints.on_replica_down(4, true) == verdict::failed);
  CHECK(hints.held());
}

TEST_CASE("a write is done once more where a replica has what its leader did not know") {
  struct row {
    const char* what;
    timestamp shadowed_by;
    bool replaced, asked_again, sole, again;
  };
  const row table[] = {
      {"it is what clients see", 0, false, false, false, false},
      {"a higher clock stands beside it", 7, false, false, false, true},
      {"the same, for one that was asked again", 7, false, true, false, true},
      {"the next write came first", 0, true, false, false, false},
      {"it came while the replica was lost", 0, true, true, false, true},
      {"which nobody can know of a decision", 0, true, true, true, false},
      {"asked again, and stored", 0, false, true, false, false},
  };
  for (auto& x : table) {
    CAPTURE(x.what);
    write_core core{{3, 2}};
    if (x.asked_again)
      core.on_lost(false);
    CHECK(core.must_rewrite({x.shadowed_by, x.replaced, nullptr}, x.sole) == x.again);
  }
}
