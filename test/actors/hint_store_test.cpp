#include "actors/hint_store.hpp"

#include <catch2/catch.hpp>

#include "actors/cluster_view.hpp"
#include "storage/make_engine.hpp"
#include "test/support/memory_env.hpp"

using namespace kai;
using namespace std::chrono_literals;

namespace {

constexpr uint32_t partitions = 8;
constexpr timestamp now = 1'000'000'000'000;

/// n0, which holds the hints, and n1, which some of them are for; each replica of everything.
view_ptr view_of(bool n1_alive) {
  topology topo = found(1, {2, 1, 1, partitions}, {});
  topo.members = {{"n0", "", "", "a:1", 1}, {"n1", "", "", "b:1", 2}};
  topo.replicas.assign(partitions, {0, 1});
  auto view = std::make_shared<cluster_view>(topo, member_index{0});
  view->alive = {true, n1_alive};
  return view;
}

record value(const std::string& text, timestamp clock, node_id node = 5) {
  version v;
  v.written = {node, clock};
  v.value = blob::copy_of(text);
  record x;
  overwrite(x, v);
  return x;
}

hint hint_for(const std::string& target, const std::string& key, record x) {
  return {partition_of(key_hash(key), partitions), blob::copy_of(key), target, std::move(x)};
}

/// A store over an engine of either kind, and the disk below it.
struct world {
  explicit world(bool memory, hint_limits limits = {}) : memory(memory), limits(limits) { open(); }

  void open() {
    storage.reset();
    if (memory) {
      memory_engine_options options;
      options.partitions = partitions;
      storage = make_engine(std::move(options));
    } else {
      leveldb_engine_options options;
      options.directory = "/db";
      options.env = &env;
      options.settle = [this] { env.run_scheduled(); };
      auto opened = make_engine(std::move(options));
      REQUIRE(opened);
      storage = std::move(*opened);
    }
    hints = {};
    hints.use(limits);
  }

  caf::error keep(const std::string& target, const std::string& key, record x) {
    return hints.keep(*storage, hint_for(target, key, std::move(x)), now);
  }
  void write() {
    write_batch batch;
    hints.add_to(batch);
    auto err = storage->write(batch);
    hints.written(!err);
    REQUIRE_FALSE(err);
  }
  /// All that can be delivered, lot by lot.
  std::vector<hint> all(const view_ptr& view, bool every = false) {
    std::vector<hint> result;
    hint_question question{view, {}, every};
    for (;;) {
      auto some = hints.find_some(*storage, question, now);
      CHECK(some.hints.size() <= limits::hints_in_flight_max);
      result.insert(result.end(), some.hints.begin(), some.hints.end());
      if (!some.next)
        return result;
      question.from = *some.next;
    }
  }
  uint64_t count(const std::string& target) const {
    auto report = hints.report();
    auto i = report.held.find(target);
    return i == report.held.end() ? 0 : i->second.count;
  }

  bool memory;
  hint_limits limits;
  test::memory_env env;
  std::unique_ptr<engine> storage;
  hint_store hints;
};

} // namespace

TEST_CASE("hints are found for members that are alive, and are no keys") {
  for (auto memory : {true, false}) {
    world w{memory};
    for (int i = 0; i < 300; ++i)
      REQUIRE_FALSE(w.keep(i % 3 ? "n1" : "n0", "k" + std::to_string(i), value("v", now)));
    w.write();
    CHECK(w.storage->stats().keys == 0);
    CHECK(w.count("n0") == 100);
    CHECK(w.count("n1") == 200);
    CHECK(w.all(view_of(false)).size() == 100);
    auto all = w.all(view_of(true));
    CHECK(all.size() == 300);
    std::set<std::string> keys;
    for (auto& x : all) {
      keys.insert(x.key.str());
      CHECK(x.value == value("v", now));
      CHECK(x.partition == partition_of(key_hash(x.key.view()), partitions));
    }
    CHECK(keys.size() == 300);
    for (auto& x : all)
      CHECK(w.hints.drop_taken(*w.storage, x));
    w.write();
    CHECK(w.hints.report().count() == 0);
    CHECK(w.hints.report().held.empty());
    CHECK(w.hints.report().replayed == 300);
    CHECK(w.all(view_of(true)).empty());
  }
}

TEST_CASE("hints for one key and target are one, merged; for another target another") {
  for (auto memory : {true, false})
    for (auto written : {true, false}) {
      world w{memory};
      REQUIRE_FALSE(w.keep("n1", "k", value("a", now, 5)));
      if (written)
        w.write();
      REQUIRE_FALSE(w.keep("n1", "k", value("b", now + 1, 6)));
      REQUIRE_FALSE(w.keep("n0", "k", value("c", now, 7)));
      w.write();
      CHECK(w.hints.report().count() == 2);
      CHECK(w.hints.report().stored == 3);
      auto found = w.all(view_of(true));
      REQUIRE(found.size() == 2);
      for (auto& x : found)
        CHECK(x.value == (x.target == "n0" ? value("c", now, 7)
                                           : merge(value("a", now, 5), value("b", now + 1, 6))));
      // Nothing new.
      REQUIRE_FALSE(w.keep("n1", "k", value("a", now, 5)));
      CHECK_FALSE(w.hints.changed());
    }
}

TEST_CASE("a hint that changed while it was delivered stays") {
  for (auto memory : {true, false}) {
    world w{memory};
    REQUIRE_FALSE(w.keep("n1", "k", value("a", now)));
    w.write();
    auto sent = w.all(view_of(true)).at(0);
    REQUIRE_FALSE(w.keep("n1", "k", value("b", now + 1)));
    CHECK_FALSE(w.hints.drop_taken(*w.storage, sent));
    w.write();
    CHECK_FALSE(w.hints.drop_taken(*w.storage, sent));
    CHECK(w.count("n1") == 1);
    auto again = w.all(view_of(true)).at(0);
    CHECK(again.value == value("b", now + 1));
    CHECK(w.hints.drop_taken(*w.storage, again));
    // Twice in one batch.
    CHECK_FALSE(w.hints.drop_taken(*w.storage, again));
    w.write();
    CHECK(w.hints.report().count() == 0);
  }
}

TEST_CASE("past a bound hints are refused, per target and in all, and counted") {
  hint_limits few;
  few.target_bytes = 3000;
  few.bytes = 5000;
  auto big = value(std::string(900, 'x'), now);
  for (auto memory : {true, false}) {
    world w{memory, few};
    for (int i = 0; i < 3; ++i)
      REQUIRE_FALSE(w.keep("n1", "k" + std::to_string(i), big));
    CHECK(w.keep("n1", "k3", big) == errc::overloaded);
    w.write();
    CHECK(w.keep("n1", "k3", big) == errc::overloaded);
    // One that takes no more room than what it replaces.
    REQUIRE_FALSE(w.keep("n1", "k0", value(std::string(900, 'y'), now + 1)));
    REQUIRE_FALSE(w.keep("n2", "k0", big));
    REQUIRE_FALSE(w.keep("n2", "k1", big));
    CHECK(w.keep("n2", "k2", big) == errc::overloaded);
    w.write();
    CHECK(w.hints.report().dropped == 3);
    CHECK(w.hints.report().count() == 5);
    for (auto& x : w.all(view_of(true)))
      w.hints.drop_taken(*w.storage, x);
    w.write();
    REQUIRE_FALSE(w.keep("n1", "k3", big));
  }
}

TEST_CASE("a hint that is too old is dropped and not delivered") {
  hint_limits short_lived;
  short_lived.age = 10s;
  for (auto memory : {true, false}) {
    world w{memory, short_lived};
    REQUIRE_FALSE(w.keep("n1", "old", value("v", now - 10'000'001)));
    REQUIRE_FALSE(w.keep("n1", "young", value("v", now - 9'999'999)));
    // What is new about it does not make the rest younger.
    REQUIRE_FALSE(w.keep("n0", "both", value("v", now - 10'000'001, 5)));
    REQUIRE_FALSE(w.keep("n0", "both", value("v", now, 6)));
    w.write();
    // Nobody can take any of n1: they are not looked at, unless all are.
    CHECK(w.all(view_of(false)).empty());
    w.write();
    CHECK(w.hints.report().dropped == 1);
    CHECK(w.all(view_of(false), true).empty());
    w.write();
    CHECK(w.hints.report().dropped == 2);
    CHECK(w.count("n1") == 1);
    auto found = w.all(view_of(true));
    REQUIRE(found.size() == 1);
    CHECK(found[0].key.view() == "young");
  }
}

TEST_CASE("hints are counted again after a start, some at a time, while they change") {
  world w{false};
  for (int i = 0; i < 200; ++i)
    REQUIRE_FALSE(w.keep(i % 2 ? "n1" : "n0", "k" + std::to_string(i), value("v", now)));
  w.write();
  auto before = w.hints.report();
  w.open();
  CHECK(w.hints.report().count() == 0);
  w.hints.count_from_start(partitions);
  for (int i = 0; i < 400; ++i) {
    w.hints.count_some(*w.storage, 3);
    // One goes, another comes, wherever the count is.
    auto key = "k" + std::to_string(i % 200);
    if (i % 2)
      w.hints.drop_taken(*w.storage, hint_for("n1", key, value("v", now)));
    else
      REQUIRE_FALSE(w.keep("n1", key, value("w", now)));
    if (w.hints.changed())
      w.write();
  }
  CHECK(w.count("n0") == 100);
  CHECK(w.count("n1") == 100);
  CHECK(w.hints.report().held.at("n0").bytes == before.held.at("n0").bytes);
  CHECK(w.hints.report().held.at("n1").bytes == before.held.at("n1").bytes);
  CHECK(w.hints.report().held.at("n0").oldest == now);
  CHECK(w.all(view_of(true)).size() == 200);
}

TEST_CASE("after a loss hints are counted again, those on their way to the engine too") {
  for (auto taken : {true, false}) {
    world w{true};
    w.hints.count_from_start(partitions);
    w.hints.count_some(*w.storage, 1000);
    REQUIRE_FALSE(w.keep("n1", "lost", value("v", now)));
    REQUIRE_FALSE(w.keep("n1", "there", value("v", now)));
    w.write();
    auto held = w.hints.report().held.at("n1").bytes;
    write_batch damage;
    auto lost = hint_for("n1", "lost", value("v", now));
    damage.remove(lost.partition, area::hint, blob::copy_of("\2n1lost"));
    REQUIRE_FALSE(w.storage->write(damage));
    REQUIRE_FALSE(w.keep("n1", "new", value("v", now)));
    w.hints.count_again();
    CHECK(w.hints.report().count() == 0);
    // What waits is not there yet.
    w.hints.count_some(*w.storage, 1000);
    CHECK_FALSE(w.hints.report().exact);
    if (taken)
      w.write();
    else
      w.hints.written(false);
    CHECK_FALSE(w.hints.report().exact);
    w.hints.count_some(*w.storage, 1000);
    CHECK(w.hints.report().exact);
    CHECK(w.count("n1") == (taken ? 2 : 1));
    if (!taken)
      CHECK(w.hints.report().held.at("n1").bytes < held);
    for (auto& x : w.all(view_of(true)))
      CHECK(w.hints.drop_taken(*w.storage, x));
    w.write();
    CHECK(w.hints.report().held.empty());
  }
}

TEST_CASE("a hint that is about to go is not counted") {
  world w{true};
  REQUIRE_FALSE(w.keep("n1", "k", value("v", now)));
  w.write();
  w.hints = {};
  w.hints.use({});
  w.hints.count_from_start(partitions);
  w.hints.drop_taken(*w.storage, hint_for("n1", "k", value("v", now)));
  w.hints.count_some(*w.storage, 1000);
  w.write();
  w.hints.count_some(*w.storage, 1000);
  CHECK(w.hints.report().exact);
  CHECK(w.hints.report().count() == 0);
}

TEST_CASE("what the engine did not take is in no count") {
  world w{true};
  REQUIRE_FALSE(w.keep("n1", "a", value("v", now)));
  w.write();
  auto held = w.hints.report().held.at("n1").bytes;
  auto sent = w.all(view_of(true)).at(0);
  REQUIRE_FALSE(w.keep("n1", "b", value("v", now)));
  w.hints.drop_taken(*w.storage, sent);
  REQUIRE_FALSE(w.keep("n1", "a", value("w", now)));
  w.hints.written(false);
  CHECK_FALSE(w.hints.changed());
  CHECK(w.count("n1") == 1);
  CHECK(w.hints.report().held.at("n1").bytes == held);
  CHECK(w.all(view_of(true)).at(0).value == value("v", now));
}

TEST_CASE("a hint for a name that is none is refused") {
  world w{true};
  CHECK(w.keep("", "k", value("v", now)) == errc::malformed);
  CHECK(w.keep(std::string(256, 'n'), "k", value("v", now)) == errc::malformed);
  REQUIRE_FALSE(w.keep(std::string(255, 'n'), "k", value("v", now)));
  w.write();
  CHECK(w.all(view_of(true)).at(0).target == std::string(255, 'n'));
}
