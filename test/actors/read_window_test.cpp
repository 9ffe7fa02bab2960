#include "actors/read_window.hpp"

#include <catch2/catch.hpp>

#include "protocol/limits.hpp"

using namespace kai;

namespace {

record value_of(uint64_t clock, std::string_view value) {
  record x;
  version v;
  v.written = {7, clock};
  v.value = blob::copy_of(value);
  overwrite(x, std::move(v));
  return x;
}

struct world {
  std::shared_ptr<record_cache> cache = std::make_shared<record_cache>(1024 * 1024);
  read_window window{cache};
  read_window::time_point now{std::chrono::hours{1}};

  world() {
    cache->put(blob::copy_of("k"), value_of(1, "v"));
    window.publish({false, true});
    window.alive(now);
  }

  template <class What>
  std::optional<answer> ask(What what, partition_id partition = 0, std::string_view key = "k") {
    call x;
    x.id = 5;
    x.partition = partition;
    x.key = blob::copy_of(key);
    x.what = std::move(what);
    auto result = window.answer_to(x, now);
    if (!result)
      window.pass(x);
    else
      CHECK(result->id == 5);
    return result;
  }
};

} // namespace

TEST_CASE("a read window answers reads of what its vnode has in memory, as the vnode would") {
  world w;
  auto found = w.ask(read_call{false});
  REQUIRE(found);
  auto& whole = std::get<record_answer>(found->what);
  CHECK(whole.value == value_of(1, "v"));
  CHECK(whole.caught_up);
  found = w.ask(read_call{true});
  REQUIRE(found);
  auto& digest = std::get<digest_answer>(found->what);
  CHECK(digest.digest == digest_of("k", value_of(1, "v")));
  CHECK(digest.caught_up);
  CHECK_FALSE(w.ask(read_call{false}, 0, "other"));
  CHECK_FALSE(w.ask(tree_call{}));

  // In a partition that is behind what is here proves nothing.
  CHECK_FALSE(std::get<record_answer>(w.ask(read_call{false}, 1)->what).caught_up);
  w.window.publish({});
  CHECK_FALSE(std::get<digest_answer>(w.ask(read_call{true})->what).caught_up);
}

TEST_CASE("a read stays behind a write of its key that was sent before it") {
  world w;
  SECTION("a store") { CHECK_FALSE(w.ask(store_call{value_of(2, "w"), false})); }
  SECTION("a decision") { CHECK_FALSE(w.ask(apply_call{})); }
  CHECK_FALSE(w.ask(read_call{false}));
  w.cache->put(blob::copy_of("k"), value_of(2, "w"));
  auto found = w.ask(read_call{false});
  REQUIRE(found);
  CHECK(std::get<record_answer>(found->what).value == value_of(2, "w"));
}

TEST_CASE("a read window is closed while its vnode does not run") {
  world w;
  w.now += limits::probe_timeout;
  CHECK(w.ask(read_call{false}));
  w.now += std::chrono::milliseconds{1};
  CHECK_FALSE(w.ask(read_call{false}));
  w.window.alive(w.now);
  CHECK(w.ask(read_call{false}));
  read_window fresh{std::make_shared<record_cache>(1024)};
  call x;
  x.what = read_call{false};
  CHECK_FALSE(fresh.answer_to(x, w.now));
}
