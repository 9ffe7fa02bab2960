#include "protocol/memcache/pipeline.hpp"

#include <random>
#include <vector>

#include <catch2/catch.hpp>

using namespace kai::memcache;
using queue = pipeline<int>;
using kind = queue::kind;

namespace {

std::vector<uint64_t> start(queue& q, size_t window = 100) {
  std::vector<uint64_t> result;
  q.start_next(window, [&](uint64_t sequence, int) { result.push_back(sequence); });
  return result;
}

/// The same, from the rules and nothing else.
class model {
public:
  enum class state { waiting, running, finished };
  struct entry {
    kind what;
    uint64_t hash;
    state now;
  };

  void add(kind what, uint64_t hash) {
    all.push_back({what, hash, what == kind::ready ? state::finished : state::waiting});
  }

  std::vector<uint64_t> start(size_t window) {
    std::vector<uint64_t> result;
    for (size_t i = 0; i < all.size(); ++i)
      if (number(state::running) < window && may_start(i)) {
        all[i].now = state::running;
        result.push_back(i);
      }
    return result;
  }

  bool may_start(size_t i) const {
    if (all[i].now != state::waiting)
      return false;
    for (size_t j = 0; j < i; ++j) {
      auto in_the_way = all[i].what == kind::barrier || all[j].what == kind::barrier ||
                        all[i].hash == all[j].hash;
      if (all[j].now != state::finished && in_the_way)
        return false;
    }
    return true;
  }

  size_t number(state x) const {
    size_t n = 0;
    for (auto& y : all)
      n += y.now == x;
    return n;
  }

  std::vector<entry> all;
};

} // namespace

TEST_CASE("commands on one key run one after another, on different keys at once") {
  queue q;
  q.add(0, kind::keyed, 1);
  q.add(1, kind::keyed, 1);
  q.add(2, kind::keyed, 2);
  // Shares the low bits of the first: still another key.
  q.add(3, kind::keyed, 65);
  CHECK(start(q) == std::vector<uint64_t>{0, 2, 3});
  CHECK(q.running() == 3);
  CHECK(q.waiting() == 1);
  q.finish(2);
  CHECK(start(q).empty());
  q.finish(0);
  CHECK(start(q) == std::vector<uint64_t>{1});
  CHECK(q.is_running(1));
  CHECK_FALSE(q.is_running(0));
  CHECK_FALSE(q.is_running(99));
}

TEST_CASE("a barrier waits for all before it, and all behind it wait") {
  queue q;
  q.add(0, kind::keyed, 1);
  q.add(1, kind::barrier);
  q.add(2, kind::keyed, 2);
  q.add(3, kind::barrier);
  CHECK(start(q) == std::vector<uint64_t>{0});
  q.finish(0);
  CHECK(start(q) == std::vector<uint64_t>{1});
  CHECK(start(q).empty());
  q.finish(1);
  CHECK(start(q) == std::vector<uint64_t>{2});
  q.finish(2);
  CHECK(start(q) == std::vector<uint64_t>{3});
}

TEST_CASE("answers leave in the order of the commands") {
  queue q;
  q.add(10, kind::keyed, 1);
  q.add(11, kind::ready);
  q.add(12, kind::keyed, 2);
  start(q);
  q.finish(2);
  CHECK_FALSE(q.front_finished());
  q.finish(0);
  REQUIRE(q.front_finished());
  CHECK(q.front() == 10);
  q.pop();
  REQUIRE(q.front_finished());
  CHECK(q.front() == 11);
  CHECK(q.is_front(1));
  q.pop();
  CHECK(q[2] == 12);
  q.pop();
  CHECK(q.empty());
  CHECK_FALSE(q.front_finished());
  CHECK(q.add(13, kind::ready) == 3);
}

TEST_CASE("one that is put back starts again before those behind it") {
  queue q;
  for (int i = 0; i < 3; ++i)
    q.add(i, kind::keyed, static_cast<uint64_t>(i));
  q.add(3, kind::keyed, 1);
  q.add(4, kind::barrier);
  CHECK(start(q, 2) == std::vector<uint64_t>{0, 1});
  q.put_back(1);
  CHECK_FALSE(q.is_running(1));
  CHECK(q.running() == 1);
  CHECK(q.waiting() == 4);
  CHECK(start(q, 1).empty());
  CHECK(start(q) == std::vector<uint64_t>{1, 2});
  q.finish(1);
  q.finish(2);
  CHECK(start(q) == std::vector<uint64_t>{3});
  q.put_back(0);
  q.finish(3);
  CHECK(start(q) == std::vector<uint64_t>{0});
  q.finish(0);
  CHECK(start(q) == std::vector<uint64_t>{4});
}

TEST_CASE("many commands are put in order at once, whatever their hashes have in common") {
  constexpr uint64_t count = 50'000;
  for (auto shift : {0, 6, 16, 32, 48}) {
    INFO("shift " << shift);
    queue q;
    for (uint64_t i = 0; i < count; ++i)
      q.add(0, kind::keyed, i << shift);
    CHECK(start(q, count).size() == count);
    // Each waits for its predecessor.
    for (uint64_t i = 0; i < count; ++i)
      q.add(0, kind::keyed, i << shift);
    CHECK(start(q, 2 * count).empty());
    for (uint64_t i = 0; i < count; ++i) {
      q.finish(i);
      q.pop();
    }
    CHECK(start(q, count).size() == count);
    // Behind many that are finished and still there.
    for (uint64_t i = count; i < 2 * count; ++i)
      q.finish(i);
    for (uint64_t i = 0; i < count; ++i)
      q.add(0, kind::keyed, i << shift);
    CHECK(start(q, count).size() == count);
  }
}

TEST_CASE("no more than the window run at once") {
  queue q;
  for (int i = 0; i < 5; ++i)
    q.add(i, kind::keyed, static_cast<uint64_t>(i));
  CHECK(start(q, 2) == std::vector<uint64_t>{0, 1});
  CHECK(start(q, 2).empty());
  q.finish(1);
  CHECK(start(q, 2) == std::vector<uint64_t>{2});
  CHECK(start(q, 0).empty());
}

TEST_CASE("in any history the pipeline starts what its rules say and answers in order") {
  for (uint64_t seed = 1; seed <= 300; ++seed) {
    INFO("seed " << seed);
    std::mt19937_64 random{seed};
    auto below = [&](size_t n) { return static_cast<size_t>(random() % n); };
    queue q{random()};
    model m;
    uint64_t answered = 0;
    auto window = 1 + below(6);
    // Some grow beyond the first buckets.
    auto grows = seed % 10 == 0;
    for (int step = 0; step < (grows ? 300 : 120); ++step) {
      if (below(grows ? 3 : 2) != 1) {
        auto what = below(8) == 0 ? kind::barrier : below(6) == 0 ? kind::ready : kind::keyed;
        auto hash = what == kind::keyed ? below(grows ? 100 : 4) * 32 : 0;
        REQUIRE(q.add(static_cast<int>(m.all.size()), what, hash) == m.all.size());
        m.add(what, hash);
      } else if (auto running = m.number(model::state::running)) {
        auto nth = below(running);
        for (size_t i = 0; i < m.all.size(); ++i)
          if (m.all[i].now == model::state::running && nth-- == 0) {
            auto again = below(8) == 0;
            m.all[i].now = again ? model::state::waiting : model::state::finished;
            if (again)
              q.put_back(i);
            else
              q.finish(i);
            break;
          }
      }
      REQUIRE(start(q, window) == m.start(window));
      REQUIRE(q.running() == m.number(model::state::running));
      REQUIRE(q.waiting() == m.number(model::state::waiting));
      for (; q.front_finished(); q.pop(), ++answered) {
        REQUIRE(q.front() == static_cast<int>(answered));
        REQUIRE(m.all[answered].now == model::state::finished);
      }
      REQUIRE((answered == m.all.size() || m.all[answered].now != model::state::finished));
    }
  }
}
