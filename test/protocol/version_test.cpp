// long: what versions promise, each promise over random records too
#include "protocol/version.hpp"

#include <algorithm>
#include <map>
#include <optional>

#include <catch2/catch.hpp>

#include "protocol/limits.hpp"
#include "test/protocol/random_records.hpp"

using namespace kai;

namespace {

std::vector<dot> dots_of(const record& x) {
  std::vector<dot> result;
  for (auto& v : x.versions)
    result.push_back(v.written);
  return result;
}

std::string bytes_of(const record& x) {
  std::string bytes;
  byte_writer out{bytes};
  encode(out, x);
  return bytes;
}

/// nullopt: refused.
std::optional<record> parse(std::string_view bytes) {
  byte_reader in{bytes};
  auto x = decode_record(in);
  return in.done() ? std::optional{x} : std::nullopt;
}

/// The same without values, for the key "k".
std::optional<uint64_t> digest_in(std::string_view bytes) {
  byte_reader in{bytes};
  auto x = encoded_digest("k", in);
  return in.done() ? std::optional{x} : std::nullopt;
}

version make(node_id node, timestamp clock, std::string_view value = "x") {
  return with_version(node, clock, value).versions[0];
}

record many_siblings(size_t n) {
  record all;
  for (size_t i = 0; i < n; ++i)
    all = merge(all, with_version(1000 - i, 10 + i));
  return all;
}

} // namespace

TEST_CASE("merge is commutative, associative and idempotent") {
  for (uint64_t seed = 1; seed <= 300; ++seed) {
    INFO("seed " << seed);
    record_world world{seed, 5};
    world.steps(10 + world.below(60));
    auto& a = world.at(0).value;
    auto& b = world.at(1).value;
    auto& c = world.at(2).value;
    REQUIRE(merge(a, b) == merge(b, a));
    REQUIRE(merge(merge(a, b), c) == merge(a, merge(b, c)));
    REQUIRE(merge(a, a) == a);
    REQUIRE(merge(merge(a, b), b) == merge(a, b));
    REQUIRE(merge(a, record{}) == a);
    REQUIRE(merge(record{}, a) == a);
  }
}

TEST_CASE("merge keeps exactly the versions that the other side has not replaced") {
  for (uint64_t seed = 1; seed <= 300; ++seed) {
    INFO("seed " << seed);
    record_world world{seed, 4};
    world.steps(10 + world.below(50));
    auto& a = world.at(0);
    auto& b = world.at(1);
    std::set<dot> expected;
    for (auto& [mine, theirs] : {std::pair{&a, &b}, std::pair{&b, &a}})
      for (auto& v : mine->value.versions) {
        auto there = dots_of(theirs->value);
        auto held = std::find(there.begin(), there.end(), v.written) != there.end();
        if (held || theirs->history.count(v.written) == 0)
          expected.insert(v.written);
      }
    auto merged = merge(a.value, b.value);
    REQUIRE(dots_of(merged) == std::vector<dot>(expected.begin(), expected.end()));
    for (auto& history : {a.history, b.history})
      for (auto& event : history)
        REQUIRE(covers(merged.seen, event));
  }
}

TEST_CASE("replicas that have all merged with each other are equal, whatever the order") {
  for (uint64_t seed = 1; seed <= 50; ++seed) {
    INFO("seed " << seed);
    record_world world{seed, 4};
    world.steps(60);
    record forwards;
    record backwards;
    for (size_t i = 0; i < world.size(); ++i) {
      forwards = merge(forwards, world.at(i).value);
      backwards = merge(world.at(world.size() - 1 - i).value, backwards);
    }
    REQUIRE(forwards == backwards);
    REQUIRE(digest_of("k", forwards) == digest_of("k", backwards));
    REQUIRE(cas_unique(forwards) == cas_unique(backwards));
  }
}

TEST_CASE("overwrite replaces every version and covers all that was seen") {
  auto x = merge(merge(with_version(1, 10), with_version(2, 12)), with_version(3, 11));
  REQUIRE(x.versions.size() == 3);
  auto before = x;
  overwrite(x, make(2, 20, "new"));
  CHECK(dots_of(x) == std::vector<dot>{{2, 20}});
  CHECK(x.seen == version_vector{{1, 10}, {2, 20}, {3, 11}});
  CHECK(merge(x, before) == x);
}

TEST_CASE("of one version the copy that was reaped to a tombstone wins") {
  auto x = with_version(1, 10, "expired");
  auto reaped = x;
  reaped.versions[0].tombstone = true;
  reaped.versions[0].value = {};
  CHECK(merge(x, reaped) == reaped);
  CHECK(merge(reaped, x) == reaped);
  CHECK(digest_of("k", x) == digest_of("k", reaped));
}

TEST_CASE("siblings above the limit go, oldest first, and are counted") {
  auto at_limit = many_siblings(limits::siblings_max);
  CHECK(at_limit.versions.size() == limits::siblings_max);
  size_t dropped = 5;
  auto x = merge(at_limit, with_version(1, 500), &dropped);
  CHECK(dropped == 6);
  CHECK(x.versions.size() == limits::siblings_max);
  CHECK(latest(x)->written == dot{1, 500});
  auto dots = dots_of(x);
  CHECK(std::find(dots.begin(), dots.end(), dot{1000, 10}) == dots.end());
  CHECK(std::is_sorted(dots.begin(), dots.end()));
  CHECK(std::is_sorted(x.seen.begin(), x.seen.end()));
}

TEST_CASE("a version vector above the limit loses its oldest entries, never one in use") {
  record x;
  for (size_t i = 0; i < limits::version_vector_max + 4; ++i)
    overwrite(x, make(i + 1, 100 + i));
  CHECK(x.seen.size() == limits::version_vector_max);
  CHECK_FALSE(covers(x.seen, {1, 1}));
  CHECK(covers(x.seen, x.versions[0].written));
  // The oldest entry of all belongs to a version that is present.
  record y = with_version(999, 1);
  auto z = merge(x, y);
  CHECK(covers(z.seen, {999, 1}));
  CHECK(z.seen.size() == limits::version_vector_max);
  // Siblings of more nodes than entries are allowed all keep theirs.
  auto crowd = many_siblings(limits::version_vector_max + 5);
  CHECK(crowd.seen.size() == limits::version_vector_max + 5);
  for (auto& v : crowd.versions)
    CHECK(covers(crowd.seen, v.written));
}

TEST_CASE("a digest is zero exactly for the empty record and covers key, vector and dots only") {
  CHECK(digest_of("k", record{}) == 0);
  auto x = with_version(1, 10, "one");
  CHECK(digest_of("k", x) != 0);
  CHECK(digest_of("k", x) != digest_of("l", x));
  CHECK(digest_of("k", x) == digest_of("k", with_version(1, 10, "other value")));
  CHECK(digest_of("k", x) != digest_of("k", with_version(1, 11, "one")));
  CHECK(digest_of("k", x) != digest_of("k", with_version(2, 10, "one")));
  auto more_seen = x;
  more_seen.seen.push_back({5, 5});
  CHECK(digest_of("k", x) != digest_of("k", more_seen));
  // The same vector, but one of the two versions is gone.
  auto both = merge(with_version(1, 10), with_version(2, 20));
  auto one = both;
  one.versions.pop_back();
  CHECK(digest_of("k", both) != digest_of("k", one));
  CHECK(digest_of("key", with_version(0x1122334455667788, 1'700'000'000'000'000)) ==
        0x84eec432c1186e12);
}

TEST_CASE("digests are equal exactly where vectors and dots are") {
  std::map<uint64_t, std::pair<version_vector, std::vector<dot>>> known;
  for (uint64_t seed = 1; seed <= 400; ++seed) {
    auto x = random_record(seed % 300);
    auto [i, fresh] = known.try_emplace(digest_of("k", x), std::pair{x.seen, dots_of(x)});
    REQUIRE(i->second == std::pair{x.seen, dots_of(x)});
  }
}

TEST_CASE("the latest version has the highest clock, then the higher node") {
  CHECK(latest(record{}) == nullptr);
  auto x = merge(with_version(9, 10), with_version(1, 11));
  CHECK(latest(x)->written == dot{1, 11});
  CHECK(latest(merge(with_version(3, 11), x))->written == dot{3, 11});
}

TEST_CASE("a version is visible unless deleted, expired or flushed") {
  auto x = make(1, 100);
  CHECK(visible(x, 1000, 0));
  CHECK(visible(x, 1000, 99));
  CHECK_FALSE(visible(x, 1000, 100));
  x.expires = 1000;
  CHECK(visible(x, 999, 0));
  CHECK_FALSE(visible(x, 1000, 0));
  x.expires = 0;
  x.tombstone = true;
  CHECK_FALSE(visible(x, 0, 0));
}

TEST_CASE("a cas unique is never zero, grows with the value and is kept by touch") {
  CHECK(cas_unique(record{}) == 0);
  CHECK(cas_unique(with_version(1, 0)) != 0);
  record x;
  uint64_t before = 0;
  for (timestamp clock = 1; clock < 200; ++clock) {
    overwrite(x, make(1 + clock % 3, clock));
    CHECK(cas_unique(x) > before);
    before = cas_unique(x);
  }
  auto touched = make(2, 500);
  touched.kept_cas = before;
  overwrite(x, touched);
  CHECK(cas_unique(x) == before);
  CHECK(cas_unique(x) >> 12 == 199);
}

TEST_CASE("a record that was stored when touched versions had the dot of their value is read") {
  auto before = cas_unique(with_version(3, 70));
  for (uint8_t shape : {2, 2 | 128}) {
    std::string bytes;
    byte_writer out{bytes};
    out.varint(1);
    out.u64(7);
    out.u64(100);
    out.varint(1);
    out.u8(shape);
    out.varint(0);
    out.varint(0);
    // Nobody wrote both.
    if (shape & 128)
      out.u64(before);
    out.u64(3);
    out.u64(70);
    out.bytes("x");
    byte_reader in{std::string_view{bytes}};
    auto x = decode_record(in);
    REQUIRE(in.done() == (shape == 2));
    if (shape != 2)
      continue;
    CHECK(x.versions[0].written == dot{7, 100});
    CHECK(x.versions[0].value.view() == "x");
    CHECK(cas_unique(x) == before);
  }
}

TEST_CASE("a cas unique tells a value from the same value with a sibling behind it") {
  auto alone = with_version(1, 100);
  auto differ = 0;
  for (timestamp clock = 1; clock <= 64; ++clock) {
    auto with_sibling = merge(alone, with_version(2, clock));
    CHECK(cas_unique(with_sibling) >> 12 == cas_unique(alone) >> 12);
    differ += cas_unique(with_sibling) != cas_unique(alone);
  }
  // Twelve bits: one in 4096 looks alike.
  CHECK(differ >= 63);
}

TEST_CASE("what is beside a value is enough to know its cas unique") {
  auto written = with_version(1, 100);
  auto both = merge(written, with_version(2, 50));
  auto more = merge(both, with_version(3, 70));
  for (auto& v : outline_of(more).versions)
    CHECK(v.value.size() == 0);
  auto cas = cas_unique(written);
  CHECK(cas_unique_beside(cas, written, {}) == cas);
  CHECK(cas_unique_beside(cas, written, outline_of(both)) == cas_unique(both));
  // From several replicas, in any order.
  auto seen = merge(outline_of(both), outline_of(merge(written, with_version(3, 70))));
  CHECK(cas_unique_beside(cas, written, seen) == cas_unique(more));
  // What came after the value is not the value's.
  CHECK(cas_unique_beside(cas, written, outline_of(merge(both, with_version(3, 200)))) == cas);
  // What has nothing to tell stays so: a delete's answer, say.
  CHECK(cas_unique_beside(0, written, outline_of(both)) == 0);
}

TEST_CASE("a record survives encoding, and nothing shorter is taken for one") {
  for (uint64_t seed = 1; seed <= 100; ++seed) {
    INFO("seed " << seed);
    auto x = random_record(seed);
    auto bytes = bytes_of(x);
    REQUIRE(parse(bytes) == x);
    REQUIRE(digest_in(bytes) == digest_of("k", x));
    for (size_t n = 0; n < bytes.size(); ++n) {
      REQUIRE_FALSE(parse(std::string_view{bytes}.substr(0, n)));
      REQUIRE_FALSE(digest_in(std::string_view{bytes}.substr(0, n)));
    }
  }
  CHECK(parse(bytes_of(record{})) == record{});
  CHECK(digest_in(bytes_of(record{})) == 0u);
  auto many = many_siblings(limits::siblings_max);
  CHECK(digest_in(bytes_of(many)) == digest_of("k", many));
}

TEST_CASE("a record with flipped bits is refused or keeps the invariants") {
  std::mt19937_64 random{7};
  for (uint64_t seed = 1; seed <= 100; ++seed) {
    INFO("seed " << seed);
    auto bytes = bytes_of(random_record(seed));
    for (int i = 0; i < 50; ++i) {
      auto damaged = bytes;
      for (auto n = random() % 3 + 1; n > 0; --n)
        damaged[random() % damaged.size()] ^= static_cast<char>(1 << random() % 8);
      auto x = parse(damaged);
      if (!x)
        continue;
      REQUIRE(x->seen.empty() == x->versions.empty());
      REQUIRE(std::is_sorted(x->seen.begin(), x->seen.end(),
                             [](auto& a, auto& b) { return a.node < b.node; }));
      auto dots = dots_of(*x);
      REQUIRE(std::is_sorted(dots.begin(), dots.end()));
      for (auto& d : dots)
        REQUIRE(covers(x->seen, d));
      REQUIRE(parse(bytes_of(*x)) == x);
    }
  }
}

TEST_CASE("bytes that break a record's invariants are refused") {
  auto refused = [](const record& x) { return !parse(bytes_of(x)); };
  auto good = merge(with_version(1, 10), with_version(2, 20));
  REQUIRE_FALSE(refused(good));
  auto x = good;
  std::swap(x.versions[0], x.versions[1]);
  CHECK(refused(x));
  x = good;
  x.versions[1] = x.versions[0];
  CHECK(refused(x));
  x = good;
  x.versions.clear();
  CHECK(refused(x));
  x = with_version(2, 10);
  x.seen.insert(x.seen.begin(), {2, 5});
  CHECK(refused(x));
  // More siblings than there may be: they would take many times their bytes.
  auto most = many_siblings(limits::siblings_max);
  CHECK_FALSE(refused(most));
  auto next = with_version(1, 1000);
  most.seen.insert(most.seen.begin(), next.seen[0]);
  most.versions.insert(most.versions.begin(), next.versions[0]);
  CHECK(refused(most));
  // A version above the vector, or by a node that is not in it.
  auto raw = [](uint64_t position, uint64_t behind, uint8_t marks) {
    std::string bytes;
    byte_writer out{bytes};
    out.varint(1);
    out.u64(7);
    out.u64(10);
    out.varint(1);
    out.u8(marks);
    out.varint(position);
    out.varint(behind);
    if (!(marks & 1))
      out.bytes("");
    return bytes;
  };
  CHECK(parse(raw(0, 10, 0)));
  CHECK(parse(raw(0, 0, 1)));
  CHECK_FALSE(parse(raw(0, 11, 0)));
  CHECK_FALSE(parse(raw(1, 0, 0)));
  CHECK(parse(raw(0, 0, 16 + 32 + 64)));
  // A cas unique that was kept, and is not there.
  CHECK_FALSE(parse(raw(0, 0, 128)));
}

TEST_CASE("a stored version is shadowed only by a concurrent one that clients see instead") {
  auto written = [](node_id node, timestamp clock, std::string_view value) {
    version v;
    v.written = {node, clock};
    v.value = blob::copy_of(value);
    return v;
  };
  record ahead;
  overwrite(ahead, written(1, 100, "ahead"));
  record behind;
  overwrite(behind, written(2, 90, "behind"));
  auto merged = merge(ahead, behind);
  CHECK(shadowed_by(merged, behind) == 100);
  CHECK(shadowed_by(merged, ahead) == 0);
  // Written with knowledge of it: it was there, and was replaced.
  auto later = merged;
  overwrite(later, written(1, 110, "later"));
  CHECK(shadowed_by(merge(later, behind), behind) == 0);
  CHECK(shadowed_by(merge({}, behind), behind) == 0);
  // The same clock at two nodes, whichever of them wins; but not when both were stored.
  for (uint64_t node : {3, 7}) {
    record same;
    overwrite(same, written(node, 100, "same clock"));
    record other;
    overwrite(other, written(5, 100, "other"));
    CHECK(shadowed_by(merge(same, other), same) == 100);
    CHECK(shadowed_by(merge(same, other), merge(same, other)) == 0);
  }
}

TEST_CASE("a record is over once all its versions are deleted, expired or flushed") {
  CHECK(over_since({}, 1000) == 0);
  CHECK(newest_of({}) == 0);
  auto value = with_version(1, 100);
  CHECK(newest_of(value) == 100);
  CHECK(over_since(value, 0) == 0);
  CHECK(over_since(value, 99) == 0);
  CHECK(over_since(value, 150) == 150);
  auto expiring = value;
  expiring.versions[0].expires = 500;
  CHECK(over_since(expiring, 0) == 500);
  CHECK(over_since(expiring, 150) == 150);
  auto expired = value;
  expired.versions[0].expires = 1;
  CHECK(over_since(expired, 0) == 100);
  auto deleted = with_version(2, 300);
  deleted.versions[0].tombstone = true;
  CHECK(over_since(deleted, 0) == 300);
  CHECK(over_since(deleted, 400) == 300);
  // A sibling that stays keeps the record.
  CHECK(over_since(merge(value, deleted), 0) == 0);
  CHECK(over_since(merge(expiring, deleted), 0) == 500);
  CHECK(newest_of(merge(value, deleted)) == 300);
}
