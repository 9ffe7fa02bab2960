#include <catch2/catch.hpp>

#include "test/support/linearizability.hpp"

using namespace kai;
using namespace kai::test;

namespace {

/// Builds histories: each operation with the times at which it was sent and answered.
operation base(uint64_t sent, uint64_t answered) {
  operation x;
  x.sent = sent;
  x.answered = answered;
  x.end = operation::ending::answered;
  return x;
}

operation read(uint64_t sent, uint64_t answered, std::optional<sighting> seen) {
  auto x = base(sent, answered);
  x.seen = std::move(seen);
  return x;
}

operation miss(uint64_t sent, uint64_t answered) { return read(sent, answered, std::nullopt); }

operation hit(uint64_t sent, uint64_t answered, const char* value, uint64_t cas) {
  return read(sent, answered, sighting{value, 0, cas});
}

operation write(uint64_t sent, uint64_t answered, mutation_kind kind, const char* value,
                outcome_kind result, uint64_t cas = 0) {
  auto x = base(sent, answered);
  x.what = operation::kind::write;
  x.change.kind = kind;
  x.change.value = blob::copy_of(value);
  x.result.kind = result;
  x.result.cas = cas;
  return x;
}

operation set(uint64_t sent, uint64_t answered, const char* value, uint64_t cas) {
  return write(sent, answered, mutation_kind::set, value, outcome_kind::stored, cas);
}

operation remove(uint64_t sent, uint64_t answered, outcome_kind result) {
  return write(sent, answered, mutation_kind::remove, "", result, 0);
}

operation incr(uint64_t sent, uint64_t answered, uint64_t number, uint64_t cas) {
  auto x = write(sent, answered, mutation_kind::increment, "", outcome_kind::number, cas);
  x.change.delta = 1;
  x.result.number = number;
  return x;
}

operation cas(uint64_t sent, uint64_t answered, const char* value, uint64_t compare,
              outcome_kind result, uint64_t unique = 0) {
  auto x = write(sent, answered, mutation_kind::compare_and_set, value, result, unique);
  x.change.compare = compare;
  return x;
}

/// A unique of this clock.
constexpr uint64_t at(uint64_t clock) { return clock << 12; }

operation with_end(operation x, operation::ending end) {
  x.end = end;
  x.answered = operation::never;
  return x;
}

bool legal(const key_history& x) { return check_linearizable(x).legal; }

} // namespace

TEST_CASE("an empty history and one of misses are legal") {
  CHECK(legal({}));
  CHECK(legal({miss(1, 2), miss(3, 4)}));
}

TEST_CASE("a read after a set shows it, one beside it may or may not") {
  CHECK(legal({set(1, 2, "a", 10), hit(3, 4, "a", 10)}));
  CHECK(legal({set(1, 4, "a", 10), miss(2, 3)}));
  CHECK(legal({set(1, 4, "a", 10), hit(2, 3, "a", 10)}));
  CHECK_FALSE(legal({set(1, 2, "a", 10), hit(3, 4, "b", 10)}));
  CHECK_FALSE(legal({hit(1, 2, "a", 10), set(3, 4, "a", 10)}));
}

TEST_CASE("a stale read is illegal") {
  CHECK_FALSE(legal({set(1, 2, "a", 10), set(3, 4, "b", 20), hit(5, 6, "a", 10)}));
  CHECK_FALSE(legal({set(1, 2, "a", 10), miss(3, 4)}));
}

TEST_CASE("of two reads during a write the later one must not show the older value") {
  key_history x{set(1, 2, "a", 10), set(3, 10, "b", 20), hit(4, 5, "b", 20), hit(6, 7, "a", 10)};
  CHECK_FALSE(legal(x));
  CHECK(check_regular(x).legal);
  x.push_back(hit(11, 12, "a", 10));
  CHECK_FALSE(check_regular(x).legal);
}

TEST_CASE("a lost update is illegal") {
  CHECK_FALSE(legal({set(1, 2, "a", 10), cas(3, 7, "b", 10, outcome_kind::stored, 20),
                     cas(4, 8, "c", 10, outcome_kind::stored, 30)}));
  CHECK(legal({set(1, 2, "a", 10), cas(3, 7, "b", 10, outcome_kind::stored, 20),
               cas(4, 8, "c", 10, outcome_kind::exists)}));
  CHECK_FALSE(legal({set(1, 2, "a", 10), cas(3, 4, "c", 10, outcome_kind::exists)}));
}

TEST_CASE("a resurrected delete is illegal") {
  CHECK(legal({set(1, 2, "a", 10), remove(3, 4, outcome_kind::deleted), miss(5, 6),
               remove(7, 8, outcome_kind::not_found)}));
  CHECK_FALSE(legal({set(1, 2, "a", 10), remove(3, 4, outcome_kind::deleted), hit(5, 6, "a", 10)}));
  CHECK_FALSE(legal({set(1, 2, "a", 10), remove(3, 4, outcome_kind::deleted),
                     remove(5, 6, outcome_kind::deleted)}));
}

TEST_CASE("a double increment is illegal") {
  CHECK(legal({set(1, 2, "5", 10), incr(3, 7, 7, 30), incr(4, 8, 6, 20), hit(9, 10, "7", 30)}));
  CHECK_FALSE(legal({set(1, 2, "5", 10), incr(3, 4, 6, 20), hit(5, 6, "7", 30)}));
  CHECK_FALSE(legal({set(1, 2, "5", 10), incr(3, 7, 6, 20), incr(4, 8, 6, 30)}));
}

TEST_CASE("a counter's text does not get shorter") {
  auto decr = incr(3, 4, 9, 20);
  decr.change.kind = mutation_kind::decrement;
  CHECK(legal({set(1, 2, "10", 10), decr, hit(5, 6, "9 ", 20)}));
  CHECK_FALSE(legal({set(1, 2, "10", 10), decr, hit(5, 6, "9", 20)}));
}

TEST_CASE("add, replace, append and prepend depend on whether the key is there") {
  using enum mutation_kind;
  auto stored = outcome_kind::stored;
  auto not_stored = outcome_kind::not_stored;
  CHECK(legal({write(1, 2, replace, "r", not_stored), write(3, 4, add, "b", stored, 10),
               write(5, 6, add, "x", not_stored), write(7, 8, append, "c", stored, 20),
               write(9, 10, prepend, "a", stored, 30), hit(11, 12, "abc", 30)}));
  CHECK_FALSE(legal({write(1, 2, add, "a", stored, 10), write(3, 4, add, "b", stored, 20)}));
  CHECK_FALSE(legal({write(1, 2, append, "a", stored, 10)}));
}

TEST_CASE("touch keeps the cas unique and the value, and one with an expiry past ends the key") {
  auto touch = write(3, 4, mutation_kind::touch, "", outcome_kind::touched, 10);
  CHECK(legal({set(1, 2, "a", 10), touch, hit(5, 6, "a", 10)}));
  auto changed = touch;
  changed.result.cas = 11;
  CHECK_FALSE(legal({set(1, 2, "a", 10), changed}));
  touch.change.expires = 1;
  CHECK(legal({set(1, 2, "a", 10), touch, miss(5, 6)}));
  CHECK_FALSE(legal({set(1, 2, "a", 10), touch, hit(5, 6, "a", 10)}));
}

TEST_CASE("gat shows the value that is there") {
  auto gat = write(3, 4, mutation_kind::get_and_touch, "", outcome_kind::value, 10);
  gat.result.found.emplace().value = blob::copy_of("a");
  CHECK(legal({set(1, 2, "a", 10), gat}));
  gat.result.found->value = blob::copy_of("b");
  CHECK_FALSE(legal({set(1, 2, "a", 10), gat}));
}

TEST_CASE("cas uniques grow with every change and belong to one version") {
  CHECK_FALSE(legal({set(1, 2, "a", 10), set(3, 4, "b", 9)}));
  CHECK_FALSE(legal({set(1, 2, "a", 10), set(3, 4, "b", 10)}));
  CHECK_FALSE(legal({set(1, 2, "a", 10), hit(3, 4, "a", 11)}));
  CHECK_FALSE(legal({set(1, 2, "a", 10), remove(3, 4, outcome_kind::deleted), set(5, 6, "b", 9)}));
}

TEST_CASE("a write whose end is unknown may happen late, or never, but only once") {
  using ending = operation::ending;
  auto lost = with_end(set(3, 4, "b", 0), ending::unknown);
  CHECK(legal({set(1, 2, "a", at(10)), lost, hit(5, 6, "a", at(10))}));
  CHECK(legal({set(1, 2, "a", at(10)), lost, hit(5, 6, "a", at(10)), hit(7, 8, "b", at(20))}));
  CHECK_FALSE(
      legal({set(1, 2, "a", at(10)), lost, hit(5, 6, "b", at(20)), hit(7, 8, "a", at(10))}));
  CHECK_FALSE(legal({set(1, 2, "a", at(10)), lost, hit(5, 6, "b", at(20)), set(7, 8, "c", at(30)),
                     hit(9, 10, "b", at(20))}));
  auto counted = with_end(incr(3, 4, 0, 0), ending::unknown);
  CHECK(legal({set(1, 2, "5", at(10)), counted, hit(5, 6, "6", at(20))}));
  CHECK_FALSE(legal({set(1, 2, "5", at(10)), counted, hit(5, 6, "7", at(20))}));
}

TEST_CASE("the digest in a unique changes only where a write has an unknown end") {
  constexpr auto seen = at(10) + 1;
  constexpr auto changed = at(10) + 7;
  auto lost = with_end(set(3, 4, "b", 0), operation::ending::unknown);
  CHECK(legal({set(1, 2, "a", seen), lost, hit(5, 6, "a", changed)}));
  CHECK(legal({set(1, 2, "a", seen), lost, cas(5, 6, "c", seen, outcome_kind::exists),
               hit(7, 8, "a", changed)}));
  CHECK_FALSE(legal({set(1, 2, "a", seen), hit(5, 6, "a", changed)}));
  CHECK_FALSE(legal({set(1, 2, "a", seen), lost, hit(5, 6, "a", at(11) + 1)}));
  auto only_read = with_end(hit(3, 4, "a", seen), operation::ending::unknown);
  CHECK_FALSE(legal({set(1, 2, "a", seen), only_read, hit(5, 6, "a", changed)}));
}

TEST_CASE("a write that was refused must not have happened") {
  auto refused = with_end(set(3, 4, "b", 0), operation::ending::refused);
  CHECK(legal({set(1, 2, "a", 10), refused, hit(5, 6, "a", 10)}));
  CHECK_FALSE(legal({set(1, 2, "a", 10), refused, hit(5, 6, "b", 20)}));
}

TEST_CASE("flush_all ends the key") {
  auto flush = base(3, 4);
  flush.what = operation::kind::flush;
  CHECK(legal({set(1, 2, "a", 10), flush, miss(5, 6), set(7, 8, "b", 20), hit(9, 10, "b", 20)}));
  CHECK_FALSE(legal({set(1, 2, "a", 10), flush, hit(5, 6, "a", 10)}));
}

TEST_CASE("a verdict shows the operations that fit in no order") {
  auto verdict = check_linearizable({set(1, 2, "a", 10), hit(3, 4, "b", 10)});
  REQUIRE_FALSE(verdict.legal);
  CHECK(verdict.explanation.find("! [3, 4] client 0 at n0: gets -> 'b' flags 0 cas 10") !=
        std::string::npos);
}
