#include "protocol/memcache/command_write.hpp"

#include <catch2/catch.hpp>

namespace kai::memcache {

namespace {

constexpr timestamp now = 1'800'000'000'000'000;

command make(verb op, codec through) {
  command x;
  x.op = op;
  x.form.through = through;
  x.keys.push_back(blob::copy_of("k"));
  return x;
}

} // namespace

TEST_CASE("exptime is relative up to 30 days and absolute above", "[memcache]") {
  constexpr timestamp now = 1'800'000'000'000'001;
  CHECK(absolute_expiry(0, now) == 0);
  CHECK(absolute_expiry(-1, now) == 1);
  CHECK(absolute_expiry(INT64_MIN, now) == 1);
  CHECK(absolute_expiry(1, now) == now + 1'000'000);
  CHECK(absolute_expiry(2'592'000, now) == now + 2'592'000'000'000);
  CHECK(absolute_expiry(2'592'001, now) == 2'592'001'000'000);
  CHECK(absolute_expiry(1'900'000'000, now) == 1'900'000'000'000'000);
  CHECK(absolute_expiry(INT64_MAX, now) > now);
}

TEST_CASE("a flush is so many seconds ahead up to 30 days, and at a time above", "[memcache]") {
  CHECK(flush_delay(0, now) == 0);
  CHECK(flush_delay(-7, now) == -7);
  CHECK(flush_delay(2'592'000, now) == 2'592'000);
  CHECK(flush_delay(1'800'000'010, now) == 10);
  CHECK(flush_delay(1'800'000'010, now + 999'999) == 10);
  CHECK(flush_delay(1'800'000'000, now) == 0);
  CHECK(flush_delay(2'592'001, now) < 0);
}

TEST_CASE("only a meta delete that invalidates keeps the value", "[memcache]") {
  auto x = make(verb::remove, codec::meta);
  CHECK(write_of(x, now).kind == mutation_kind::remove);
  x.extras.invalidates = true;
  CHECK(write_of(x, now).kind == mutation_kind::invalidate);
}

TEST_CASE("times of the meta commands and of the binary protocol become absolute", "[memcache]") {
  auto x = make(verb::meta_get, codec::meta);
  x.exptime = 10;
  x.extras.sets_exptime = true;
  x.extras.vivify = 20;
  x.extras.recache = 30;
  auto what = write_of(x, now);
  CHECK(what.kind == mutation_kind::fetch);
  CHECK(what.sets_expiry);
  CHECK(what.expires == now + 10'000'000);
  CHECK(what.vivify == now + 20'000'000);
  // A value that shows 30 seconds does not win, one that shows 29 does.
  CHECK(what.recache_before == now + 29'000'001);
  for (auto never : {0, -1, -1000}) {
    x.extras.recache = never;
    CHECK(write_of(x, now).recache_before == 0);
  }
}

TEST_CASE("a cas that invalidates stores late values as stale ones", "[memcache]") {
  auto x = make(verb::cas, codec::meta);
  CHECK_FALSE(write_of(x, now).stale_if_late);
  x.extras.invalidates = true;
  CHECK(write_of(x, now).stale_if_late);
}

} // namespace kai::memcache
