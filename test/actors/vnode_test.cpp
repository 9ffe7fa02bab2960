// long: one fixture for every call of a vnode
#include "actors/vnode.hpp"

#include <catch2/catch.hpp>

#include "actors/cluster_view.hpp"
#include "actors/on_loop.hpp"
#include "protocol/limits.hpp"
#include "protocol/merkle.hpp"
#include "storage/make_engine.hpp"
#include "test/support/virtual_time.hpp"

using namespace kai;

namespace {

/// A memory engine that fails when told to, and shows what was asked of it.
class fake_engine : public engine {
public:
  /// `memory_limit`: it evicts above; 0: it has none.
  explicit fake_engine(uint64_t memory_limit = 0) {
    options_.partitions = 1;
    options_.memory_limit = memory_limit;
    options_.evict = memory_limit != 0;
    lose_all();
  }
  void lose_all() { inner_ = make_engine(options_); }

  caf::expected<std::optional<record>> read(partition_id p, area where,
                                            std::string_view key) override {
    if (read_error)
      return read_error;
    return inner_->read(p, where, key);
  }
  caf::error write(const write_batch& batch) override {
    ++writes;
    for (auto& x : batch.entries())
      if (full_for && x.key.view() == *full_for)
        return failure(errc::out_of_memory, "full");
    if (write_error)
      return write_error;
    read_error = caf::none;
    return inner_->write(batch);
  }
  caf::error scan(partition_id p, area where, uint64_t from,
                  const std::function<bool(uint64_t, const blob&, record&&)>& visit) override {
    return inner_->scan(p, where, from, visit);
  }
  caf::expected<std::optional<std::string>> read_meta(std::string_view name) override {
    return inner_->read_meta(name);
  }
  caf::error write_meta(std::string_view name, std::string_view value) override {
    ++meta_writes;
    return meta_error ? meta_error : inner_->write_meta(name, value);
  }
  caf::error flush() override { return caf::none; }
  engine_stats stats() const override { return inner_->stats(); }
  start_state started() const override { return start_state::fresh; }

  caf::error read_error;
  caf::error write_error;
  /// No batch with this key fits.
  std::optional<std::string> full_for;
  caf::error meta_error;
  int writes = 0;
  int meta_writes = 0;

private:
  memory_engine_options options_;
  std::shared_ptr<engine> inner_;
};

struct vnode_world : virtual_time {
  explicit vnode_world(engine_kind kind = engine_kind::leveldb, uint64_t memory_limit = 0)
      : storage(std::make_shared<fake_engine>(memory_limit)) {
    context = make_context("here");
    context->options.storage.engine = kind;
    context->options.storage.memory_limit = memory_limit;
    context->options.storage.evict = memory_limit ? eviction::lru : eviction::none;
    vnode =
        own(spawn_on_loop<vnode_actor>(sys, kai::vnode, context, std::shared_ptr<engine>(storage),
                                       engine_factory{}, losses, window, nullptr));
    self->send(vnode, start_atom::value, uint32_t{1});
    catch_up();
    // It counts what it holds from before.
    advance(limits::flush_interval);
  }

  /// Its partition was compared with its other replicas since now.
  void catch_up() { self->send(vnode, caught_up_atom::value, partition_list{0}, context->now()); }

  /// One batch, and its answers in the order of the calls.
  std::vector<answer> carry_out(std::vector<decltype(call::what)> all) {
    send(std::move(all));
    run();
    auto got = received<answer_batch>();
    REQUIRE(got.size() == 1);
    for (size_t i = 0; i < got[0].answers.size(); ++i)
      REQUIRE(got[0].answers[i].id == 100 + i);
    return std::move(got[0].answers);
  }
  answer one(decltype(call::what) what) { return carry_out({std::move(what)}).at(0); }

  void send(std::vector<decltype(call::what)> all) {
    vnode_batch batch;
    batch.reply_to = caf::actor_cast<caf::strong_actor_ptr>(self);
    for (auto& x : all) {
      auto& y = batch.calls.emplace_back();
      y.id = 99 + batch.calls.size();
      y.key = blob::copy_of("k");
      y.what = std::move(x);
    }
    self->send(vnode, std::move(batch));
  }

  record held() { return std::get<record_answer>(one(read_call{}).what).value; }

  context_ptr context;
  std::shared_ptr<fake_engine> storage;
  losses_ptr losses = std::make_shared<engine_losses>();
  std::shared_ptr<record_cache> cache = std::make_shared<record_cache>(1024 * 1024);
  std::shared_ptr<read_window> window = std::make_shared<read_window>(cache);
  vnode_actor vnode;
};

apply_call apply(mutation_kind kind, const std::string& value, record base = {},
                 bool conditional = false) {
  mutation x;
  x.kind = kind;
  x.value = blob::copy_of(value);
  x.delta = 1;
  apply_call result;
  result.what = std::move(x);
  result.base = std::move(base);
  result.conditional = conditional;
  return result;
}

record by_another_node(timestamp clock, const std::string& value) {
  version v;
  v.written = {77, clock};
  v.value = blob::copy_of(value);
  record x;
  overwrite(x, v);
  return x;
}

const failed_answer& failure_in(const answer& x) {
  REQUIRE(std::holds_alternative<failed_answer>(x.what));
  return std::get<failed_answer>(x.what);
}

const applied_answer& applied(const answer& x) {
  if (auto why = std::get_if<failed_answer>(&x.what))
    FAIL(to_string(why->reason) << ": " << why->message);
  REQUIRE(std::holds_alternative<applied_answer>(x.what));
  return std::get<applied_answer>(x.what);
}

} // namespace

TEST_CASE("a write gets a dot of its node and is stored as it is answered") {
  vnode_world w;
  auto x = applied(w.one(apply(mutation_kind::set, "v")));
  CHECK(x.result.kind == outcome_kind::stored);
  CHECK(x.value.versions.at(0).written.node == w.context->id);
  CHECK(x.result.cas == cas_unique(x.value));
  CHECK(w.held() == x.value);
  auto digest = std::get<digest_answer>(w.one(read_call{true}).what);
  CHECK(digest.digest == digest_of("k", x.value));
  CHECK(digest.caught_up);
}

TEST_CASE("a conditional write is contended when the key is not what the coordinator merged") {
  vnode_world w;
  w.one(apply(mutation_kind::set, "5"));
  auto base = w.held();
  CHECK(applied(w.one(apply(mutation_kind::increment, "", base, true))).result.number == 6);
  // The same base again: another writer was faster.
  auto late = w.one(apply(mutation_kind::increment, "", base, true));
  CHECK(failure_in(late).reason == errc::contended);
  CHECK(failure_in(late).unchanged);
  CHECK(w.held().versions.at(0).value.view() == "6");
}

TEST_CASE("a base that knows more than the vnode is taken over by the write") {
  vnode_world w;
  w.one(apply(mutation_kind::set, "5"));
  auto base = merge(w.held(), by_another_node(UINT32_MAX, "9"));
  REQUIRE(base.versions.size() == 2);
  auto x = applied(w.one(apply(mutation_kind::append, "0", base, true)));
  CHECK(x.value.versions.size() == 1);
  CHECK(merge(x.value, base) == x.value);
}

TEST_CASE("writes of one key in one batch see each other and take one write of the engine") {
  vnode_world w;
  auto got = w.carry_out({apply(mutation_kind::set, "a"), apply(mutation_kind::set, "b"),
                          read_call{}, store_call{by_another_node(5, "c")}, read_call{}});
  CHECK(w.storage->writes == 1);
  auto first = applied(got[0]).value;
  auto second = applied(got[1]).value;
  CHECK(merge(first, second) == second);
  CHECK(std::get<record_answer>(got[2].what).value == second);
  auto merged = std::get<record_answer>(got[4].what).value;
  CHECK(merged == merge(second, by_another_node(5, "c")));
  CHECK(w.held() == merged);
}

TEST_CASE("batches that wait together are carried out with one write") {
  vnode_world w;
  w.send({apply(mutation_kind::set, "a")});
  w.send({apply(mutation_kind::set, "b")});
  w.run();
  CHECK(w.received<answer_batch>().size() == 2);
  CHECK(w.storage->writes == 1);
}

TEST_CASE("when the engine can not write, what depends on it fails and the rest is answered") {
  vnode_world w;
  w.one(apply(mutation_kind::set, "old"));
  auto before = w.held();
  w.storage->write_error = failure(errc::storage_failed, "the disk is full");
  auto got = w.carry_out({read_call{}, apply(mutation_kind::set, "new"), read_call{},
                          store_call{by_another_node(5, "x")}});
  CHECK(std::get<record_answer>(got[0].what).value == before);
  for (size_t i : {1, 2, 3}) {
    CHECK(failure_in(got[i]).reason == errc::storage_failed);
    CHECK_FALSE(failure_in(got[i]).unchanged);
    CHECK(failure_in(got[i]).message == "the disk is full");
  }
  CHECK(w.held() == before);
  w.storage->write_error = failure(errc::out_of_memory, "full");
  auto full = w.one(apply(mutation_kind::set, "new"));
  CHECK(failure_in(full).reason == errc::out_of_memory);
  CHECK(failure_in(full).unchanged);
  w.storage->write_error = caf::none;
  CHECK(applied(w.one(apply(mutation_kind::set, "new"))).result.kind == outcome_kind::stored);
  auto report = w.ask<vnode_report>(w.vnode, report_atom::value);
  REQUIRE(report);
  CHECK(report->write_failures == 4);
}

TEST_CASE("what does not fit fails alone") {
  vnode_world w;
  w.storage->full_for = "large";
  vnode_batch batch;
  batch.reply_to = caf::actor_cast<caf::strong_actor_ptr>(w.self);
  for (auto* key : {"small", "large", "other"}) {
    auto& x = batch.calls.emplace_back();
    x.key = blob::copy_of(key);
    x.what = apply(mutation_kind::set, "v");
  }
  auto& hinted = batch.calls.emplace_back();
  hinted.key = blob::copy_of("hinted");
  hinted.what = hint_call{"other", by_another_node(5, "x")};
  w.self->send(w.vnode, std::move(batch));
  w.run();
  auto got = w.received<answer_batch>();
  REQUIRE(got.size() == 1);
  auto& answers = got[0].answers;
  REQUIRE(answers.size() == 4);
  CHECK(failure_in(answers[1]).reason == errc::out_of_memory);
  CHECK(failure_in(answers[1]).unchanged);
  for (size_t i : {0, 2})
    CHECK(applied(answers[i]).result.kind == outcome_kind::stored);
  CHECK(std::holds_alternative<stored_answer>(answers[3].what));
  auto report = w.ask<vnode_report>(w.vnode, report_atom::value);
  CHECK(report->keys == 2);
  CHECK(report->hints.count() == 1);
  CHECK(report->write_failures == 1);
}

TEST_CASE("a tree that is made beside a write has what was written") {
  vnode_world w;
  w.one(store_call{by_another_node(5, "old")});
  auto newer = by_another_node(6, "new");
  // In one turn, in either order.
  for (auto tree_first : {false, true}) {
    for (auto tree : {tree_first, !tree_first})
      if (tree)
        w.send({tree_call{UINT64_MAX}});
      else
        w.send({store_call{newer}});
    w.run();
    w.received<answer_batch>();
    merkle_tree expected;
    expected.change(key_hash("k"), 1, 0, digest_of("k", newer));
    auto tree = w.one(tree_call{UINT64_MAX});
    CHECK(merkle_root(std::get<tree_answer>(tree.what).leaves) == expected.root());
    CHECK(std::get<tree_answer>(w.one(tree_call{expected.root()}).what).leaves.empty());
    newer = by_another_node(7, "newest");
  }
}

TEST_CASE("a bound above every dot is on disk before the dot is used") {
  vnode_world w;
  auto written = applied(w.one(apply(mutation_kind::set, "v"))).value.versions.at(0).written;
  CHECK(w.storage->meta_writes == 1);
  hybrid_clock restarted;
  REQUIRE_FALSE(restore_clock(*w.storage, restarted));
  CHECK(restarted.issue(0) > written.clock);
  // Far ahead: not one more meta write until the bound is reached.
  w.one(apply(mutation_kind::set, "v"));
  CHECK(w.storage->meta_writes == 1);
  w.advance(limits::clock_bound_ahead + std::chrono::seconds{1});
  auto later = applied(w.one(apply(mutation_kind::set, "v"))).value.versions.at(0).written;
  CHECK(w.storage->meta_writes == 2);
  hybrid_clock again;
  REQUIRE_FALSE(restore_clock(*w.storage, again));
  CHECK(again.issue(0) > later.clock);
}

TEST_CASE("without a stored bound no dot is issued") {
  vnode_world w;
  w.storage->meta_error = failure(errc::storage_failed, "the disk is full");
  CHECK(failure_in(w.one(apply(mutation_kind::set, "v"))).reason == errc::storage_failed);
  CHECK(w.held().empty());
  CHECK(w.storage->writes == 0);
}

TEST_CASE("a damaged bound of the clock is an error, a missing one is not") {
  fake_engine storage;
  hybrid_clock clock;
  CHECK_FALSE(restore_clock(storage, clock));
  REQUIRE_FALSE(storage.write_meta("clock-bound", "short"));
  CHECK(restore_clock(storage, clock) == errc::damaged);
}

TEST_CASE("a stand-in that leads makes a version and stores nothing") {
  vnode_world w;
  auto old = applied(w.one(apply(mutation_kind::set, "old"))).value;
  auto what = apply(mutation_kind::set, "new");
  what.stand_in = true;
  auto x = applied(w.one(what));
  CHECK(x.result.kind == outcome_kind::stored);
  CHECK(x.value.versions.at(0).written.clock > old.versions.at(0).written.clock);
  CHECK(x.value.seen.size() == 1);
  CHECK(w.held() == old);
}

TEST_CASE("a decision that comes too late is not made") {
  vnode_world w;
  auto what = apply(mutation_kind::set, "v");
  what.until = w.wall_now();
  CHECK(applied(w.one(what)).result.kind == outcome_kind::stored);
  w.advance(std::chrono::milliseconds{1});
  auto late = w.one(what);
  CHECK(failure_in(late).reason == errc::timed_out);
  CHECK(failure_in(late).unchanged);
}

TEST_CASE("hints are written with everything else, found, and gone when they are taken") {
  vnode_world w;
  auto x = by_another_node(w.wall_now(), "kept");
  auto got = w.carry_out({hint_call{"n7", x}, apply(mutation_kind::set, "v"), hint_call{"n8", x}});
  CHECK(w.storage->writes == 1);
  for (size_t i : {0, 2})
    CHECK(std::holds_alternative<stored_answer>(got[i].what));
  auto report = w.ask<vnode_report>(w.vnode, report_atom::value);
  REQUIRE(report);
  CHECK(report->keys == 1);
  CHECK(report->hints.count() == 2);
  CHECK(report->hints.held.at("n7").oldest == w.wall_now());
  topology topo = found(1, {1, 1, 1, 1}, {});
  topo.members[0].name = "n7";
  topo.replicas = {{0}};
  auto view = std::make_shared<cluster_view>(topo, member_index{0});
  view->alive[0] = true;
  auto list = w.ask<hint_list>(w.vnode, hint_question{view, {}, false});
  REQUIRE(list);
  CHECK_FALSE(list->next);
  // n8 is no member: its hint goes to the replica there is.
  REQUIRE(list->hints.size() == 2);
  CHECK(list->hints[0].key.view() == "k");
  CHECK(list->hints[0].value == x);
  w.self->send(w.vnode, *list);
  w.run();
  CHECK(w.storage->writes == 2);
  report = w.ask<vnode_report>(w.vnode, report_atom::value);
  CHECK(report->hints.count() == 0);
  CHECK(report->hints.replayed == 2);
}

TEST_CASE("a hint that the engine can not write is refused and in no count") {
  vnode_world w;
  w.storage->write_error = failure(errc::storage_failed, "the disk is full");
  auto got = w.one(hint_call{"n7", by_another_node(w.wall_now(), "kept")});
  CHECK(failure_in(got).reason == errc::storage_failed);
  CHECK(w.ask<vnode_report>(w.vnode, report_atom::value)->hints.count() == 0);
}

TEST_CASE("hints leave room for data in a memory engine with a limit") {
  constexpr uint64_t limit = 1024 * 1024;
  vnode_world w{engine_kind::memory, limit};
  auto carry_out = [&](const std::string& key, decltype(call::what) what) {
    vnode_batch batch;
    batch.reply_to = caf::actor_cast<caf::strong_actor_ptr>(w.self);
    auto& x = batch.calls.emplace_back();
    x.key = blob::copy_of(key);
    x.what = std::move(what);
    w.self->send(w.vnode, std::move(batch));
    w.run();
    return w.received<answer_batch>().at(0).answers.at(0);
  };
  std::string kilobyte(1024, 'v');
  auto set = ::apply(mutation_kind::set, kilobyte);
  constexpr uint64_t keys = 500;
  for (uint64_t i = 0; i < keys; ++i)
    applied(carry_out("key" + std::to_string(i), set));
  uint64_t kept = 0;
  for (int i = 0; i < 2000; ++i) {
    auto x = by_another_node(w.wall_now(), kilobyte);
    auto target = "n" + std::to_string(i % 4);
    auto got = carry_out("hinted" + std::to_string(i), hint_call{target, x});
    if (std::holds_alternative<stored_answer>(got.what))
      ++kept;
    else
      CHECK(failure_in(got).reason == errc::overloaded);
  }
  CHECK(kept > 50);
  CHECK(kept <= 128);
  auto report = w.ask<vnode_report>(w.vnode, report_atom::value);
  REQUIRE(report);
  CHECK(report->hints.count() == kept);
  CHECK(report->keys == keys);
  CHECK(applied(carry_out("new", set)).result.kind == outcome_kind::stored);
}

TEST_CASE("large answers come in several messages, each call's once") {
  vnode_world w;
  auto large = by_another_node(5, std::string(900'000, 'x'));
  w.one(store_call{large});
  w.send({read_call{}, read_call{true}, read_call{}, read_call{}});
  w.run();
  auto got = w.received<answer_batch>();
  CHECK(got.size() == 3);
  uint64_t next = 100;
  for (auto& batch : got) {
    CHECK(batch.header.clock != 0);
    for (auto& x : batch.answers) {
      CHECK(x.id == next++);
      if (auto found = std::get_if<record_answer>(&x.what))
        CHECK(found->value == large);
    }
  }
  CHECK(next == 104);
}

TEST_CASE("a store merges, and one that brings nothing new writes nothing") {
  vnode_world w;
  auto a = by_another_node(10, "a");
  auto b = applied(w.one(apply(mutation_kind::set, "b"))).value;
  CHECK(std::holds_alternative<stored_answer>(w.one(store_call{a}).what));
  CHECK(w.held() == merge(a, b));
  auto writes = w.storage->writes;
  CHECK_FALSE(std::get<stored_answer>(w.one(store_call{a}).what).replaced);
  CHECK(w.storage->writes == writes);
  auto all = w.held();
  overwrite(all, by_another_node(w.wall_now(), "all").versions[0]);
  CHECK_FALSE(std::get<stored_answer>(w.one(store_call{all}).what).replaced);
  CHECK(std::get<stored_answer>(w.one(store_call{a}).what).replaced);
  CHECK(w.held() == all);
}

TEST_CASE("a decision that did not know a version is refused where that stands beside it") {
  vnode_world w;
  auto theirs = by_another_node(w.wall_now(), "theirs");
  w.one(store_call{theirs});
  version v;
  v.written = {78, w.wall_now() + 1};
  v.value = blob::copy_of("ours");
  record ours;
  overwrite(ours, v);
  auto why = failure_in(w.one(store_call{ours, true}));
  CHECK(why.reason == errc::contended);
  CHECK(why.unchanged);
  CHECK(w.held() == theirs);
  // On top of it there is nothing to refuse; nor where it was replaced already.
  auto both = theirs;
  overwrite(both, v);
  CHECK(std::holds_alternative<stored_answer>(w.one(store_call{both, true}).what));
  CHECK(w.held() == both);
  CHECK(std::holds_alternative<stored_answer>(w.one(store_call{theirs, true}).what));
  CHECK(w.held() == both);
}

TEST_CASE("a decision whose siblings its leader knows is taken where they stand") {
  vnode_world w;
  auto siblings = merge(by_another_node(w.wall_now(), "theirs"), [&] {
    version v;
    v.written = {78, w.wall_now() + 1};
    v.value = blob::copy_of("ours");
    record x;
    overwrite(x, v);
    return x;
  }());
  REQUIRE(siblings.versions.size() == 2);
  w.one(store_call{siblings});
  // As where a write is found to have happened under other lists, and goes to all replicas.
  CHECK(std::holds_alternative<stored_answer>(w.one(store_call{siblings, true}).what));
  CHECK(w.held() == siblings);
}

TEST_CASE("a decision that is held shows only to other leaders") {
  vnode_world w;
  auto first = applied(w.one(apply(mutation_kind::set, "1"))).value;
  auto append = apply(mutation_kind::append, "x", first, true);
  append.hold = true;
  auto writes = w.storage->writes;
  auto decided = applied(w.one(append)).value;
  CHECK(w.storage->writes == writes);
  CHECK(w.held() == first);
  version v;
  v.written = {78, w.wall_now() - 1};
  v.value = blob::copy_of("1y");
  auto other = first;
  overwrite(other, v);
  SECTION("whose decisions are refused") {
    auto why = failure_in(w.one(store_call{other, true}));
    CHECK(why.reason == errc::contended);
    CHECK(why.unchanged);
    CHECK(w.held() == first);
    w.one(store_call{decided, true});
    CHECK(w.held() == decided);
  }
  SECTION("whose blind writes have to lie above it") {
    auto stored = std::get<stored_answer>(w.one(store_call{other}).what);
    CHECK(stored.shadowed_by == latest(decided)->written.clock);
  }
  SECTION("until it is released, by its dot") {
    w.one(release_call{{1, 2}});
    CHECK(failure_in(w.one(store_call{other, true})).reason == errc::contended);
    w.one(release_call{latest(decided)->written});
    CHECK(std::holds_alternative<stored_answer>(w.one(store_call{other, true}).what));
    CHECK(w.held() == other);
  }
  SECTION("or until nobody can wait for it any more") {
    w.advance(3 * limits::request_deadline);
    CHECK(std::holds_alternative<stored_answer>(w.one(store_call{other, true}).what));
    CHECK(w.held() == other);
    // What comes later than that is refused like any decision that did not know this one.
    CHECK(failure_in(w.one(store_call{decided, true})).reason == errc::contended);
  }
  SECTION("and is below what this node writes blindly meanwhile") {
    auto blind = applied(w.one(apply(mutation_kind::set, "new"))).value;
    CHECK(std::holds_alternative<stored_answer>(w.one(store_call{decided, true}).what));
    CHECK(w.held() == blind);
  }
}

TEST_CASE("a write that was tried under other lists happens once") {
  vnode_world w;
  auto first = applied(w.one(apply(mutation_kind::set, "1"))).value;
  auto tried = applied(w.one(apply(mutation_kind::append, "x", first, true))).value;
  attempt before{latest(tried)->written, latest(first)->written, {}, UINT64_MAX};
  auto again = [&](const record& base) {
    auto x = apply(mutation_kind::append, "x", base, true);
    x.tried = std::make_shared<const attempt>(before);
    return w.one(x);
  };
  SECTION("it is there") { CHECK(applied(again(tried)).value == tried); }
  SECTION("it is part of what its leader, which had it, wrote since") {
    auto later = applied(w.one(apply(mutation_kind::append, "y", tried, true))).value;
    CHECK(applied(again(later)).value == later);
  }
  SECTION("it was held by its leader and may have been passed over: nobody can say") {
    auto later = applied(w.one(apply(mutation_kind::append, "y", tried, true))).value;
    before.known_until = 0;
    CHECK_FALSE(failure_in(again(later)).unchanged);
    CHECK(w.held() == later);
  }
  SECTION("it was held by its leader and others have written since, who knew it") {
    before.known_until = 0;
    version v;
    v.written = {78, w.wall_now() - 1};
    v.value = blob::copy_of("z");
    auto later = tried;
    overwrite(later, v);
    w.one(store_call{later});
    CHECK(applied(again(later)).value == later);
  }
  SECTION("nobody has it") {
    before = {{78, w.wall_now() - 1}, {}, {}, 0};
    auto next = applied(again(tried)).value;
    CHECK(latest(next)->value.str() == "1xx");
    CHECK(covers(next.seen, before.written));
  }
  SECTION("nobody has it, and it changes nothing: what is there is written once more, above it") {
    before = {{78, w.wall_now() - 1}, {}, {}, 0};
    auto x = apply(mutation_kind::add, "new", tried, true);
    x.tried = std::make_shared<const attempt>(before);
    auto answer = applied(w.one(x));
    CHECK(answer.result.kind == outcome_kind::not_stored);
    CHECK(answer.result.cas == 0);
    CHECK(latest(answer.value)->value.str() == "1x");
    CHECK(cas_unique(answer.value) == cas_unique(tried));
    CHECK(covers(answer.value.seen, before.written));
  }
}

TEST_CASE("a dot above what the coordinator waits for is not made") {
  vnode_world w;
  auto late = apply(mutation_kind::set, "late");
  late.until = w.wall_now() - 1;
  auto why = failure_in(w.one(late));
  CHECK(why.reason == errc::timed_out);
  CHECK(why.unchanged);
  CHECK(w.held().empty());
  late.until = w.wall_now() + 1'000'000;
  applied(w.one(late));
}

TEST_CASE("a damaged record can not be read, and a write replaces it") {
  vnode_world w;
  w.storage->read_error = failure(errc::damaged, "set aside");
  w.losses->partitions = {0};
  CHECK(failure_in(w.one(read_call{})).reason == errc::damaged);
  CHECK(std::holds_alternative<stored_answer>(w.one(store_call{by_another_node(3, "x")}).what));
  CHECK(w.held() == by_another_node(3, "x"));
  // What was lost may have been newer.
  CHECK_FALSE(std::get<record_answer>(w.one(read_call{}).what).caught_up);
}

TEST_CASE("a vnode is behind from its start until it is told that it has caught up") {
  vnode_world w;
  w.self->send(w.vnode, start_atom::value, uint32_t{1});
  CHECK_FALSE(std::get<record_answer>(w.one(read_call{}).what).caught_up);
  CHECK_FALSE(std::get<digest_answer>(w.one(read_call{true}).what).caught_up);
  w.catch_up();
  CHECK(std::get<record_answer>(w.one(read_call{}).what).caught_up);
}

TEST_CASE("a vnode that was stopped is behind before it answers") {
  vnode_world w;
  w.advance(limits::probe_timeout * 2);
  CHECK(std::get<record_answer>(w.one(read_call{}).what).caught_up);
  w.scheduler.clock().advance_time(limits::probe_timeout * 2);
  CHECK_FALSE(std::get<record_answer>(w.one(read_call{}).what).caught_up);
}

TEST_CASE("a comparison from before a loss does not make a vnode catch up") {
  vnode_world w;
  auto caught_up = [&] { return std::get<record_answer>(w.one(read_call{}).what).caught_up; };
  auto before = w.context->now();
  w.advance(std::chrono::milliseconds{1});
  w.losses->all = true;
  w.one(apply(mutation_kind::set, "v"));
  w.self->send(w.vnode, caught_up_atom::value, partition_list{0}, before);
  CHECK_FALSE(caught_up());
  w.catch_up();
  CHECK(caught_up());
  // Sync may know later what the vnode knew first.
  w.self->send(w.vnode, behind_atom::value, partition_list{0}, before);
  CHECK_FALSE(caught_up());
  w.self->send(w.vnode, caught_up_atom::value, partition_list{0}, before);
  CHECK(caught_up());
}

TEST_CASE("a node that leaves takes no hints once it has said that it has none") {
  vnode_world w;
  w.context->takes_hints = false;
  CHECK(failure_in(w.one(hint_call{"n7", by_another_node(w.wall_now(), "x")})).unchanged);
  w.context->takes_hints = true;
  CHECK(std::holds_alternative<stored_answer>(
      w.one(hint_call{"n7", by_another_node(w.wall_now(), "x")}).what));
}

TEST_CASE("a vnode whose engine lost everything is behind again") {
  vnode_world w;
  w.losses->all = true;
  w.one(apply(mutation_kind::set, "v"));
  CHECK_FALSE(std::get<record_answer>(w.one(read_call{}).what).caught_up);
}

TEST_CASE("hints that the engine lost are in no count, and those that come are") {
  vnode_world w;
  auto hints = [&] { return w.ask<vnode_report>(w.vnode, report_atom::value)->hints; };
  w.one(hint_call{"n7", by_another_node(w.wall_now(), "lost")});
  CHECK(hints().count() == 1);
  w.storage->lose_all();
  SECTION("all") { w.losses->all = true; }
  SECTION("those of a partition") { w.losses->partitions = {0}; }
  w.one(hint_call{"n8", by_another_node(w.wall_now(), "kept")});
  CHECK_FALSE(hints().exact);
  w.advance(2 * limits::flush_interval);
  CHECK(hints().exact);
  CHECK(hints().count() == 1);
  CHECK(hints().held.count("n8") == 1);
}

TEST_CASE("a bound of the clock that the engine lost is written again before the next dot") {
  vnode_world w;
  w.one(apply(mutation_kind::set, "v"));
  w.storage->lose_all();
  w.losses->all = true;
  w.one(read_call{});
  auto written = applied(w.one(apply(mutation_kind::set, "v"))).value.versions.at(0).written;
  hybrid_clock restarted;
  REQUIRE_FALSE(restore_clock(*w.storage, restarted));
  CHECK(restarted.issue(0) > written.clock);
}

TEST_CASE("a vnode that is stopped writes what waits and ends") {
  vnode_world w;
  w.send({apply(mutation_kind::set, "last")});
  auto stopped = w.self->request(w.vnode, caf::infinite, stop_atom::value);
  w.run();
  stopped.receive([](bool x) { CHECK(x); }, [](const caf::error& x) { FAIL(message_of(x)); });
  auto got = w.received<answer_batch>();
  REQUIRE(got.size() == 1);
  CHECK_FALSE(applied(got[0].answers.at(0)).value.empty());
  CHECK(w.storage->writes == 1);
}
