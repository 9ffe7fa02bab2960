#include <algorithm>
#include <bit>
#include <optional>

#include <catch2/catch.hpp>

#include "protocol/quorum.hpp"
#include "test/protocol/random_records.hpp"

using namespace kai;

namespace {

constexpr const char* key = "k";

const failed_answer down{errc::peer_down, true, {}};

/// Replicas, the network to them in any order, and everything a read has to keep to.
class read_world {
public:
  struct replica {
    record holds;
    bool caught_up = true;
    /// 0: always answers; else fails one of so many times; 1: always.
    size_t fails = 0;
    /// As it answered or took last; nullopt: nothing known.
    std::optional<record> known;
    bool given_up = false;
    bool failed = false;
  };

  read_world(uint64_t seed, bool flaky, bool busy)
      : writers_(seed, 5), n_(1 + writers_.below(5)), quorum_(1 + writers_.below(n_)), busy_(busy),
        core_({n_, quorum_}, record_place_ = writers_.below(n_)) {
    writers_.steps(writers_.below(40));
    for (size_t i = 0; i < n_; ++i) {
      replica x;
      x.caught_up = writers_.below(4) != 0;
      x.fails = writers_.below(4) == 0 ? 1 : flaky && writers_.below(3) == 0 ? 3 : 0;
      // Mostly equal, as in a cluster that works.
      x.holds = writers_.at(writers_.below(3) == 0 ? i : 0).value;
      replicas_.push_back(x);
      network_.push_back({i, i == record_place_ ? kind::record : kind::digest, {}});
    }
  }

  void run() {
    for (size_t steps = 0; !network_.empty(); ++steps) {
      REQUIRE(steps < 200);
      auto at = writers_.below(network_.size());
      auto x = std::move(network_[at]);
      network_.erase(network_.begin() + static_cast<ptrdiff_t>(at));
      if (busy_ && writers_.below(3) == 0) {
        auto& y = replicas_[writers_.below(n_)];
        writers_.step();
        y.holds = merge(y.holds, writers_.at(0).value);
      }
      obey(deliver(x));
    }
    REQUIRE(replied_);
    REQUIRE(core_.finished());
  }

  bool failed() const { return core_.failed(); }
  const record& result() const { return core_.result(); }
  const std::vector<replica>& replicas() const { return replicas_; }
  size_t quorum() const { return quorum_; }
  size_t repairs_seen() const { return repairs_seen_; }
  size_t repairs_counted() const { return core_.repairs(); }

private:
  enum class kind { record, digest, store };
  struct message {
    size_t place;
    kind what;
    record value;
  };

  read_core::todo deliver(message& x) {
    auto& r = replicas_[x.place];
    if (r.fails && writers_.below(r.fails) == 0) {
      r.failed = r.given_up = true;
      return core_.on_failure(x.place, down);
    }
    if (x.what == kind::store) {
      r.holds = merge(r.holds, x.value);
      r.known = x.value;
      return core_.on_stored(x.place);
    }
    r.known = r.holds;
    r.given_up = !r.caught_up;
    if (x.what == kind::digest)
      return core_.on_digest(x.place, {digest_of(key, r.holds), r.caught_up});
    delivered_.push_back(r.holds);
    return core_.on_record(x.place, key, {r.holds, r.caught_up});
  }

  void obey(const read_core::todo& todo) {
    REQUIRE((todo.fetch & todo.store) == 0);
    REQUIRE((todo.fetch | todo.store) >> n_ == 0);
    // Before what it sends arrives anywhere.
    check_reply(todo);
    for (size_t i = 0; i < n_; ++i) {
      auto asked = std::any_of(network_.begin(), network_.end(),
                               [&](auto& x) { return x.place == i && x.what != kind::digest; });
      if (todo.fetch >> i & 1) {
        REQUIRE_FALSE(asked);
        network_.push_back({i, kind::record, {}});
      }
      if (todo.store >> i & 1) {
        REQUIRE_FALSE(asked);
        REQUIRE(replicas_[i].known);
        REQUIRE_FALSE(replicas_[i].failed);
        REQUIRE(*replicas_[i].known != core_.result());
        ++repairs_seen_;
        network_.push_back({i, kind::store, core_.result()});
      }
    }
  }

  void check_reply(const read_core::todo& todo) {
    auto usable = count([](auto& x) { return !x.given_up; });
    if (!todo.reply) {
      REQUIRE((replied_ || usable >= quorum_));
      return;
    }
    REQUIRE_FALSE(replied_);
    replied_ = true;
    REQUIRE(core_.failed() == (usable < quorum_));
    if (core_.failed()) {
      REQUIRE(core_.failure().unchanged);
      return;
    }
    auto& result = core_.result();
    for (auto& x : delivered_)
      REQUIRE(merge(result, x) == result);
    auto hold_it = count([&](auto& x) {
      return x.caught_up && !x.failed && x.known == result && merge(x.holds, result) == x.holds;
    });
    REQUIRE(hold_it >= quorum_);
  }

  template <class F>
  size_t count(F f) const {
    return static_cast<size_t>(std::count_if(replicas_.begin(), replicas_.end(), f));
  }

  record_world writers_;
  size_t n_;
  size_t quorum_;
  bool busy_;
  size_t record_place_ = 0;
  read_core core_;
  std::vector<replica> replicas_;
  std::vector<message> network_;
  std::vector<record> delivered_;
  size_t repairs_seen_ = 0;
  bool replied_ = false;
};

record_answer holds(record x, bool caught_up = true) { return {std::move(x), caught_up}; }
digest_answer digest(const record& x, bool caught_up = true) {
  return {digest_of(key, x), caught_up};
}

} // namespace

TEST_CASE("a read replies at R equal answers, the record among them") {
  auto x = with_version(1, 10);
  read_core core{{3, 2}, 0};
  auto todo = core.on_digest(1, digest(x));
  CHECK_FALSE(todo.reply);
  CHECK(todo.fetch == 0);
  todo = core.on_record(0, key, holds(x));
  CHECK(todo.reply);
  CHECK_FALSE(core.failed());
  CHECK(core.result() == x);
  CHECK_FALSE(core.finished());
  todo = core.on_digest(2, digest(x));
  CHECK(todo.store == 0);
  CHECK(core.finished());
  CHECK(core.repairs() == 0);
}

TEST_CASE("a read of a key that nobody holds finds nothing") {
  read_core core{{3, 2}, 2};
  core.on_digest(0, digest({}));
  auto todo = core.on_record(2, key, holds({}));
  CHECK(todo.reply);
  CHECK(core.result().empty());
  CHECK(core.on_failure(1, down).store == 0);
  CHECK(core.finished());
}

TEST_CASE("a read whose answers differ fetches, merges and writes back before it replies") {
  auto a = with_version(1, 10);
  auto b = with_version(2, 20);
  read_core core{{3, 2}, 0};
  core.on_record(0, key, holds(a));
  auto todo = core.on_digest(1, digest(b));
  CHECK(todo.fetch == 0b010);
  CHECK_FALSE(todo.reply);
  todo = core.on_record(1, key, holds(b));
  CHECK(todo.store == 0b011);
  CHECK_FALSE(todo.reply);
  CHECK_FALSE(core.on_stored(0).reply);
  CHECK(core.on_stored(1).reply);
  CHECK(core.result() == merge(a, b));
  // The third is behind: repaired after the reply, without being asked what it has.
  todo = core.on_digest(2, digest({}));
  CHECK(todo.store == 0b100);
  CHECK_FALSE(core.finished());
  core.on_stored(2);
  CHECK(core.finished());
}

TEST_CASE("a read fetches one of several places that hold the same") {
  auto a = with_version(1, 10);
  auto b = with_version(2, 20);
  read_core core{{5, 3}, 0};
  core.on_digest(1, digest(b));
  core.on_digest(2, digest(b));
  auto todo = core.on_record(0, key, holds(a));
  auto fetched = std::popcount(todo.fetch);
  CHECK(fetched >= 1);
  core.on_record(1, key, holds(b));
  CHECK(core.result() == merge(a, b));
}

TEST_CASE("when the place asked for the record fails, another is asked") {
  auto x = with_version(1, 10);
  read_core core{{3, 2}, 0};
  core.on_digest(1, digest(x));
  CHECK(core.on_failure(0, down).fetch == 0b010);
  CHECK_FALSE(core.on_digest(2, digest(x)).reply);
  CHECK(core.on_record(1, key, holds(x)).reply);
  CHECK_FALSE(core.failed());
}

TEST_CASE("a place that is not caught up is merged and does not count") {
  auto x = with_version(1, 10);
  read_core core{{3, 2}, 0};
  CHECK_FALSE(core.on_record(0, key, holds(x, false)).reply);
  CHECK_FALSE(core.on_digest(1, digest({})).reply);
  auto todo = core.on_digest(2, digest({}));
  CHECK(todo.store == 0b110);
  core.on_stored(1);
  CHECK(core.on_stored(2).reply);
  CHECK(core.result() == x);

  read_core proves_nothing{{3, 2}, 0};
  proves_nothing.on_record(0, key, holds({}, false));
  CHECK(proves_nothing.on_digest(1, digest({}, false)).reply);
  CHECK(proves_nothing.failed());
}

TEST_CASE("a read fails as soon as R can not be reached, and says how many answered") {
  read_core core{{3, 2}, 0};
  core.on_record(0, key, holds({}));
  CHECK_FALSE(core.on_failure(1, down).reply);
  CHECK(core.on_failure(2, {errc::storage_failed, true, "disk"}).reply);
  CHECK(core.failed());
  CHECK(core.failure().reason == errc::storage_failed);
  CHECK(core.failure().message == "1 of 3 replicas answered, 2 needed");
  CHECK(core.finished());
}

TEST_CASE("reads keep their promises in any order of answers, failures and repairs") {
  auto failures = 0;
  for (uint64_t seed = 1; seed <= 3000; ++seed) {
    INFO("seed " << seed);
    read_world world{seed, true, false};
    world.run();
    REQUIRE(world.repairs_seen() == world.repairs_counted());
    failures += world.failed();
    if (world.failed())
      continue;
    for (auto& x : world.replicas())
      REQUIRE((x.failed || x.holds == world.result()));
  }
  CHECK(failures > 300);
  CHECK(failures < 2700);
}

TEST_CASE("reads keep their promises while others write") {
  for (uint64_t seed = 1; seed <= 3000; ++seed) {
    INFO("seed " << seed);
    read_world world{seed, true, true};
    world.run();
  }
}

TEST_CASE("a read comes to what asking everybody and merging all comes to") {
  for (uint64_t seed = 1; seed <= 2000; ++seed) {
    INFO("seed " << seed);
    read_world world{seed, false, false};
    record all;
    size_t counted = 0;
    for (auto& x : world.replicas()) {
      if (x.fails)
        continue;
      all = merge(all, x.holds);
      counted += x.caught_up;
    }
    world.run();
    REQUIRE(world.failed() == (counted < world.quorum()));
    if (!world.failed())
      REQUIRE(world.result() == all);
  }
}

TEST_CASE("a record that is late is asked of another replica, and the late one still counts") {
  auto value = with_version(1, 10);
  read_core core{{3, 2}, 0};
  CHECK(core.on_digest(1, digest(value)).fetch == 0);
  CHECK(core.on_late().fetch == 2);
  auto todo = core.on_record(1, key, holds(value));
  CHECK_FALSE(todo.reply);
  CHECK(core.on_late().fetch == 0);
  CHECK(core.on_digest(2, digest(value)).reply);
  CHECK(core.result() == value);
  CHECK_FALSE(core.finished());
  core.on_record(0, key, holds(value));
  CHECK(core.finished());
}

TEST_CASE("a read whose write-back finds a version that wins replies with that one") {
  auto base = with_version(1, 10);
  auto left_over = with_version(2, 20);
  auto decided = with_version(3, 30);
  read_core core{{3, 2}, 1};
  core.on_record(1, key, holds(base));
  CHECK(core.on_digest(0, digest(left_over)).fetch == 0b001);
  CHECK(core.on_record(0, key, holds(left_over)).store == 0b011);
  core.on_stored(0);
  // It was decided while the read was on its way.
  auto todo = core.on_stored(1, true);
  CHECK(todo.fetch == 0b010);
  CHECK_FALSE(todo.reply);
  auto all = merge(merge(base, left_over), decided);
  todo = core.on_record(1, key, holds(all));
  CHECK(todo.store == 0b001);
  CHECK_FALSE(todo.reply);
  CHECK(core.on_stored(0).reply);
  CHECK(core.result() == all);
}
