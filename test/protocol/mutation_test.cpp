// long: a table row for every command and circumstance
#include "protocol/mutation.hpp"

#include <random>
#include <vector>

#include <catch2/catch.hpp>

namespace kai {

namespace {

constexpr timestamp now = 1'800'000'000'000'000;
constexpr circumstances around{now, 0, 20};

constexpr mutation_kind kinds[] = {
    mutation_kind::set,           mutation_kind::add,       mutation_kind::replace,
    mutation_kind::append,        mutation_kind::prepend,   mutation_kind::compare_and_set,
    mutation_kind::increment,     mutation_kind::decrement, mutation_kind::touch,
    mutation_kind::get_and_touch, mutation_kind::remove,    mutation_kind::fetch,
    mutation_kind::invalidate};

record holding(std::string_view value, timestamp expires = 0) {
  version x;
  x.written = {7, now - 10};
  x.flags = 5;
  x.expires = expires;
  x.value = blob::copy_of(value);
  record result;
  overwrite(result, x);
  return result;
}

record deleted() {
  version x;
  x.written = {7, now - 10};
  x.tombstone = true;
  record result;
  overwrite(result, x);
  return result;
}

mutation make(mutation_kind kind, std::string_view value = "12", uint64_t delta = 1) {
  mutation x;
  x.kind = kind;
  x.flags = 9;
  x.expires = now + 99;
  x.delta = delta;
  x.value = blob::copy_of(value);
  return x;
}

/// What a kind comes to, as its outcome and the value that it leaves.
void check(const mutation& what, const record& current, outcome_kind kind,
           std::optional<std::string_view> next) {
  INFO(static_cast<int>(what.kind));
  auto result = decide(what, current, around);
  CHECK(result.answer.kind == kind);
  CHECK(result.answer.changes() == next.has_value());
  REQUIRE(result.next.has_value() == next.has_value());
  if (next) {
    CHECK(result.next->value.view() == *next);
    CHECK(result.next->written == dot{});
    CHECK(result.next->tombstone == (what.kind == mutation_kind::remove));
  }
}

} // namespace

TEST_CASE("each kind decides on a missing key", "[mutation]") {
  const record missing[] = {{}, deleted(), holding("1", now - 1), holding("1", 1)};
  for (const auto& current : missing) {
    check(make(mutation_kind::set), current, outcome_kind::stored, "12");
    check(make(mutation_kind::add), current, outcome_kind::stored, "12");
    for (auto kind : {mutation_kind::replace, mutation_kind::append, mutation_kind::prepend})
      check(make(kind), current, outcome_kind::not_stored, {});
    for (auto kind :
         {mutation_kind::compare_and_set, mutation_kind::increment, mutation_kind::decrement,
          mutation_kind::touch, mutation_kind::get_and_touch, mutation_kind::remove})
      check(make(kind), current, outcome_kind::not_found, {});
    auto compared = make(mutation_kind::set);
    compared.compare = 1;
    check(compared, current, outcome_kind::not_found, {});
  }
  auto after_flush = around;
  after_flush.flushed = now - 10;
  CHECK(decide(make(mutation_kind::remove), holding("x"), after_flush).answer.kind ==
        outcome_kind::not_found);
}

TEST_CASE("each kind decides on a key that is there", "[mutation]") {
  auto current = holding("41");
  check(make(mutation_kind::set), current, outcome_kind::stored, "12");
  check(make(mutation_kind::add), current, outcome_kind::not_stored, {});
  check(make(mutation_kind::replace), current, outcome_kind::stored, "12");
  check(make(mutation_kind::append), current, outcome_kind::stored, "4112");
  check(make(mutation_kind::prepend), current, outcome_kind::stored, "1241");
  check(make(mutation_kind::compare_and_set), current, outcome_kind::exists, {});
  check(make(mutation_kind::increment), current, outcome_kind::number, "42");
  check(make(mutation_kind::decrement, "", 40), current, outcome_kind::number, "1 ");
  check(make(mutation_kind::touch), current, outcome_kind::touched, "41");
  check(make(mutation_kind::get_and_touch), current, outcome_kind::value, "41");
  check(make(mutation_kind::remove), current, outcome_kind::deleted, "");
}

TEST_CASE("what replaces a value has its own flags and expiry, what changes it keeps them",
          "[mutation]") {
  auto current = holding("41", now + 5);
  for (auto kind : {mutation_kind::set, mutation_kind::replace}) {
    auto next = decide(make(kind), current, around).next.value();
    CHECK(next.flags == 9);
    CHECK(next.expires == now + 99);
  }
  for (auto kind : {mutation_kind::append, mutation_kind::prepend, mutation_kind::increment,
                    mutation_kind::decrement}) {
    auto result = decide(make(kind), current, around);
    CHECK(result.next->flags == 5);
    CHECK(result.next->expires == now + 5);
    CHECK(result.next->kept_cas == 0);
  }
}

TEST_CASE("touch keeps the value, its flags and its stamp", "[mutation]") {
  auto current = holding("41", now + 5);
  for (auto kind : {mutation_kind::touch, mutation_kind::get_and_touch}) {
    auto result = decide(make(kind), current, around);
    CHECK(result.next->kept_cas == cas_unique(current));
    CHECK(value_clock(*result.next) == now - 10);
    CHECK(result.next->flags == 5);
    CHECK(result.next->expires == now + 99);
    CHECK(result.answer.found.has_value() == (kind == mutation_kind::get_and_touch));
  }
  CHECK(decide(make(mutation_kind::get_and_touch), current, around).answer.found ==
        current.versions[0]);
}

TEST_CASE("a compare that does not match refuses every kind", "[mutation]") {
  auto current = holding("41");
  for (auto kind : kinds) {
    if (kind == mutation_kind::add)
      continue;
    auto what = make(kind);
    what.compare = cas_unique(current) + 1;
    check(what, current, outcome_kind::exists, {});
    what.compare = cas_unique(current);
    CHECK(decide(what, current, around).answer.changes());
  }
}

TEST_CASE("an append fits exactly or changes nothing", "[mutation]") {
  auto current = holding("0123456789");
  for (auto kind : {mutation_kind::append, mutation_kind::prepend}) {
    CHECK(decide(make(kind, "0123456789"), current, around).next->value.size() == 20);
    check(make(kind, "0123456789a"), current, outcome_kind::too_large, {});
    check(make(kind, ""), holding("012345678901234567890"), outcome_kind::too_large, {});
  }
}

TEST_CASE("counters wrap around above and stop at zero below", "[mutation]") {
  auto top = holding("18446744073709551615");
  auto up = decide(make(mutation_kind::increment, "", 3), top, around);
  CHECK(up.answer.number == 2);
  CHECK(up.next->value.view() == "2                   ");
  auto down = decide(make(mutation_kind::decrement, "", UINT64_MAX), holding("5"), around);
  CHECK(down.answer.number == 0);
  CHECK(down.next->value.view() == "0");
  for (auto text : {"", " ", "x", "-1", "1.5", "18446744073709551616", "5x"}) {
    check(make(mutation_kind::increment), holding(text), outcome_kind::not_a_number, {});
    check(make(mutation_kind::decrement), holding(text), outcome_kind::not_a_number, {});
  }
}

TEST_CASE("of siblings the latest is decided on", "[mutation]") {
  version older;
  older.written = {1, now - 20};
  older.value = blob::copy_of("7");
  record other;
  overwrite(other, older);
  auto both = merge(other, holding("41"));
  REQUIRE(both.versions.size() == 2);
  check(make(mutation_kind::increment), both, outcome_kind::number, "42");
  check(make(mutation_kind::add), merge(other, deleted()), outcome_kind::stored, "12");
}

TEST_CASE("what keeps the value keeps its cas unique, also where siblings go", "[mutation]") {
  version older;
  older.written = {1, now - 20};
  record other;
  overwrite(other, older);
  auto both = merge(other, holding("41"));
  auto alone = cas_unique(holding("41"));
  REQUIRE(cas_unique(both) != alone);
  for (auto kind : {mutation_kind::touch, mutation_kind::get_and_touch}) {
    auto x = both;
    // Once more, when nothing is beside it.
    for (timestamp clock : {now, now + 1}) {
      auto next = decide(make(kind), x, around).next;
      REQUIRE(next);
      next->written = {9, clock};
      overwrite(x, *next);
      CHECK(x.versions.size() == 1);
      CHECK(cas_unique(x) == cas_unique(both));
    }
    auto next = decide(make(mutation_kind::append), x, around).next;
    REQUIRE(next);
    next->written = {9, now + 2};
    overwrite(x, *next);
    CHECK(cas_unique(x) > cas_unique(both));
  }
}

TEST_CASE("only set needs no read, only set and remove may run twice", "[mutation]") {
  for (auto kind : kinds) {
    mutation x;
    x.kind = kind;
    auto blind = kind == mutation_kind::set || kind == mutation_kind::remove;
    CHECK(conditional(x) == (kind != mutation_kind::set));
    CHECK(repeatable(x) == blind);
    CHECK(always_writable(x) == blind);
    x.compare = 5;
    CHECK(conditional(x));
    CHECK_FALSE(repeatable(x));
    CHECK_FALSE(always_writable(x));
  }
}

namespace {

mutation random_mutation(std::mt19937_64& random) {
  mutation x;
  x.kind = kinds[random() % std::size(kinds)];
  x.flags = static_cast<uint32_t>(random());
  x.expires = random() >> random() % 64;
  x.delta = random() >> random() % 64;
  x.compare = random() >> random() % 64;
  x.value = blob::copy_of(std::string(random() % 40, 'v'));
  x.sets_expiry = random() % 2 == 0;
  x.reports_expiry = random() % 2 == 0;
  x.stale_if_late = random() % 2 == 0;
  x.recache_before = random() >> random() % 64;
  if (random() % 2 == 0) {
    x.vivify = random() >> random() % 64;
    x.initial = random() >> random() % 64;
  }
  x.marks = *value_marks::unpack(random() % 8);
  x.quorum = static_cast<uint8_t>(random() % 17);
  return x;
}

outcome random_outcome(std::mt19937_64& random) {
  outcome x;
  x.kind = static_cast<outcome_kind>(1 + random() % 10);
  x.number = random() >> random() % 64;
  x.cas = random() >> random() % 64;
  if (random() % 2 == 0) {
    version found;
    found.written = {random(), random()};
    found.kept_cas = random() % 2 == 0 ? 0 : random();
    found.flags = static_cast<uint32_t>(random());
    found.expires = random() >> random() % 64;
    found.tombstone = random() % 2 == 0;
    found.value = blob::copy_of(std::string(random() % 40, 'v'));
    found.marks = *value_marks::unpack(random() % 8);
    x.found = found;
  }
  return x;
}

/// Comes back as it was, and no part of it is taken for the whole.
template <class T, class Decode>
void check_round_trip(const T& x, Decode decode) {
  std::string bytes;
  byte_writer out{bytes};
  encode(out, x);
  byte_reader whole{bytes};
  CHECK(decode(whole) == x);
  CHECK(whole.done());
  for (size_t n = 0; n < bytes.size(); ++n) {
    byte_reader part{std::string_view{bytes}.substr(0, n)};
    CHECK(decode(part) == T{});
    CHECK_FALSE(part.ok());
  }
}

} // namespace

TEST_CASE("mutations and outcomes come back from their encoding, never from a part of it",
          "[mutation]") {
  std::mt19937_64 random{1707};
  for (int i = 0; i < 60; ++i) {
    INFO("round " << i);
    check_round_trip(random_mutation(random), decode_mutation);
    check_round_trip(random_outcome(random), decode_outcome);
  }
}

TEST_CASE("of many that find a stale value one wins, until it is invalidated again", "[mutation]") {
  auto current = holding("41", now + 5);
  check(make(mutation_kind::invalidate), current, outcome_kind::deleted, "41");
  auto apply = [&](const mutation& what) {
    auto result = decide(what, current, around);
    if (result.next) {
      result.next->written = {7, newest_of(current) + 1};
      overwrite(current, *result.next);
    }
    return static_cast<fetch_result>(result.answer.number);
  };
  mutation look;
  look.kind = mutation_kind::fetch;
  auto unique = cas_unique(current);
  CHECK(apply(look) == fetch_result::plain);
  for (int round = 0; round < 2; ++round) {
    apply(make(mutation_kind::invalidate));
    CHECK(cas_unique(current) > unique);
    unique = cas_unique(current);
    CHECK(latest(current)->expires == now + 5);
    CHECK(apply(look) == fetch_result::won);
    CHECK(apply(look) == fetch_result::plain);
    CHECK(latest(current)->marks == value_marks{true, true, false});
    CHECK(cas_unique(current) == unique);
  }
  apply(make(mutation_kind::set));
  CHECK(latest(current)->marks == value_marks{});
}

TEST_CASE("a fetch wins once what expires soon, and makes what is missing", "[mutation]") {
  mutation look;
  look.kind = mutation_kind::fetch;
  look.recache_before = now + 5;
  CHECK_FALSE(decide(look, holding("x", now + 5), around).next.has_value());
  auto soon = decide(look, holding("x", now + 4), around);
  CHECK(soon.next->marks.won);
  CHECK(soon.next->kept_cas == cas_unique(holding("x", now + 4)));
  CHECK(soon.next->expires == now + 4);
  CHECK_FALSE(decide(look, holding("x"), around).next.has_value());
  check(look, {}, outcome_kind::not_found, {});
  look.vivify = now + 9;
  auto made = decide(look, {}, around);
  CHECK(made.answer.number == static_cast<uint64_t>(fetch_result::made_and_won));
  CHECK(made.next->expires == now + 9);
  CHECK(made.next->marks.won);
  CHECK(made.next->value.empty());
  look.sets_expiry = true;
  look.expires = now + 70;
  auto touched = decide(look, holding("x", now + 50), around);
  CHECK(touched.next->expires == now + 70);
  CHECK(touched.answer.found->expires == now + 50);
}

TEST_CASE("an empty value is no number, whatever its cas unique", "[mutation]") {
  auto what = make(mutation_kind::increment);
  what.compare = 1;
  check(what, holding(""), outcome_kind::not_a_number, {});
  check(what, holding("1"), outcome_kind::exists, {});
}

TEST_CASE("a counter that is missing is made where the client says with what", "[mutation]") {
  auto what = make(mutation_kind::increment, "", 5);
  what.vivify = now + 9;
  what.initial = 100;
  what.reports_expiry = true;
  auto result = decide(what, deleted(), around);
  CHECK(result.answer.kind == outcome_kind::number);
  CHECK(result.answer.number == 100);
  CHECK(result.next->value.view() == "100");
  CHECK(result.next->expires == now + 9);
  CHECK(result.answer.found->expires == now + 9);
  CHECK(result.answer.found->marks.won);
  // One that is there keeps its expiry, unless it is given another.
  CHECK(decide(what, holding("1", now + 50), around).next->expires == now + 50);
  what.sets_expiry = true;
  CHECK(decide(what, holding("1", now + 50), around).next->expires == now + 99);
}

TEST_CASE("a late cas that may be stale stores a stale value with the old expiry", "[mutation]") {
  auto current = holding("41", now + 5);
  auto what = make(mutation_kind::compare_and_set);
  what.stale_if_late = true;
  what.compare = cas_unique(current) - 1;
  auto late = decide(what, current, around);
  CHECK(late.answer.kind == outcome_kind::stored);
  CHECK(late.next->marks.stale);
  CHECK(late.next->expires == now + 5);
  what.compare = cas_unique(current);
  CHECK_FALSE(decide(what, current, around).next->marks.stale);
  for (auto unique : {uint64_t{0}, cas_unique(current) + 1}) {
    what.compare = unique;
    check(what, current, outcome_kind::exists, {});
  }
}

TEST_CASE("encodings with values out of range are refused", "[mutation]") {
  std::string bytes;
  byte_writer out{bytes};
  encode(out, mutation{});
  for (int kind : {0, 14, 255}) {
    bytes[0] = static_cast<char>(kind);
    byte_reader in{bytes};
    decode_mutation(in);
    CHECK_FALSE(in.ok());
  }
  bytes.clear();
  encode(out, outcome{});
  for (int kind : {0, 11, 255}) {
    auto changed = bytes;
    changed[0] = static_cast<char>(kind);
    byte_reader in{changed};
    decode_outcome(in);
    CHECK_FALSE(in.ok());
  }
  bytes.back() = 2;
  byte_reader in{bytes};
  decode_outcome(in);
  CHECK_FALSE(in.ok());

  // Flags of more than 32 bits.
  bytes.clear();
  out.u8(1);
  out.varint(uint64_t{1} << 32);
  for (int i = 0; i < 4; ++i)
    out.varint(0);
  byte_reader flags{bytes};
  decode_mutation(flags);
  CHECK_FALSE(flags.ok());
}

} // namespace kai
