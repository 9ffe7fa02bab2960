#include "protocol/sync_rules.hpp"

#include <catch2/catch.hpp>

#include "protocol/limits.hpp"
#include "protocol/merkle.hpp"

using namespace kai;
using namespace std::chrono_literals;

namespace {

constexpr timestamp second = 1'000'000;
constexpr timestamp now = 1'700'000'000 * second;

const sync_times times{now, 1h};

leaf_answer::entry entry(std::string_view key, uint64_t digest,
                         timestamp newest = now - 60 * second, timestamp over_since = 0) {
  return {blob::copy_of(key), digest, newest, over_since};
}

std::string differences(const leaf_answer& mine, const leaf_answer& theirs) {
  std::string result;
  for (auto& x : differing_keys(mine, theirs, times)) {
    result += x.key.view();
    result += x.mine ? x.theirs ? "=" : "<" : ">";
  }
  return result;
}

} // namespace

TEST_CASE("the leaves that differ are found") {
  merkle_tree a;
  CHECK(differing_leaves(a.leaves(), a.leaves()).empty());
  auto b = a;
  b.change(first_hash_of(3, 7, 256), 256, 0, 1);
  b.change(first_hash_of(3, 255, 256), 256, 0, 1);
  CHECK(differing_leaves(a.leaves(), b.leaves()) == std::vector<uint16_t>{7, 255});
  // Equal roots come as no leaves at all.
  CHECK(differing_leaves(a.leaves(), {}).empty());
}

TEST_CASE("keys that one side lacks or has otherwise are exchanged") {
  leaf_answer mine{{entry("same", 1), entry("mine", 2), entry("both", 3)}};
  leaf_answer theirs{{entry("both", 4), entry("theirs", 5), entry("same", 1)}};
  CHECK(differences(mine, theirs) == "both=mine<theirs>");
  CHECK(differences(mine, mine).empty());
  CHECK(differences(mine, {}) == "both<mine<same<");
}

TEST_CASE("what is on its way is no difference") {
  auto young = now - second;
  CHECK(differences({{entry("k", 1, young)}}, {}).empty());
  CHECK(differences({{entry("k", 1, young)}}, {{entry("k", 2)}}).empty());
  CHECK(differences({{entry("k", 1)}}, {{entry("k", 2, young)}}).empty());
  auto old = now - timestamp{std::chrono::microseconds{limits::sync_young}.count()} - 1;
  CHECK(differences({{entry("k", 1, old)}}, {}) == "k<");
}

TEST_CASE("what was over for longer than the grace is not given back to who dropped it") {
  auto long_over = now - 3601 * second;
  auto just_over = now - 3599 * second;
  CHECK(differences({{entry("k", 1, long_over, long_over)}}, {}).empty());
  CHECK(differences({}, {{entry("k", 1, long_over, long_over)}}).empty());
  CHECK(
      differences({{entry("k", 1, long_over, long_over)}}, {{entry("k", 2, long_over, long_over)}})
          .empty());
  CHECK(differences({{entry("k", 1, just_over, just_over)}}, {}) == "k<");
  // A replica that still has the value needs the deletion, however old.
  CHECK(differences({{entry("k", 1, long_over, long_over)}}, {{entry("k", 2)}}) == "k=");
  // An expiry to come is over in the future.
  CHECK(differences({{entry("k", 1, long_over, now + second)}}, {}) == "k<");
}

TEST_CASE("a record goes when it is over, past the grace, and all replicas were in sync since") {
  auto over = now - 4600 * second;
  CHECK(reapable(over, over + 1, times));
  CHECK_FALSE(reapable(over, over, times));
  CHECK_FALSE(reapable(over, 0, times));
  CHECK_FALSE(reapable(0, now, times));
  CHECK_FALSE(reapable(now - 3599 * second, now, times));
  CHECK_FALSE(reapable(now + second, now, times));
  // Not as soon as nobody is given it any more: who came back just within the grace is compared
  // meanwhile.
  struct row {
    int64_t seconds_over;
    bool goes;
  };
  for (auto& x : {row{3601, false}, row{4499, false}, row{4501, true}})
    CHECK(reapable(now - static_cast<timestamp>(x.seconds_over) * second, now, times) == x.goes);
}

TEST_CASE("replicas are in sync since the last comparison with each, once nobody holds leftovers") {
  constexpr uint64_t changed_at = 7;
  struct row {
    const char* what;
    std::vector<reap_witness> others;
    timestamp since;
  };
  const row rows[] = {
      {"alone", {}, now},
      {"the least of all replicas", {{true, 50, 7}, {true, 40, 8}, {true, 60, 7}}, 40},
      {"one was never compared", {{true, 50, 7}, {true, 0, 7}}, 0},
      {"a replica has older lists", {{true, 50, 7}, {true, 40, 6}}, 0},
      {"who holds none of it has not dropped what it had", {{true, 50, 7}, {false, 0, 6}}, 0},
      {"who holds none of it is not compared", {{true, 50, 7}, {false, 0, 7}}, 50},
      {"none was in sync later than now", {{true, now + 5, 7}}, now},
  };
  for (auto& x : rows) {
    INFO(x.what);
    CHECK(in_sync_since(now, changed_at, x.others) == x.since);
  }
  // Lists that never changed leave nothing behind.
  CHECK(in_sync_since(now, 0, std::vector<reap_witness>{{true, 50, 0}}) == 50);
}
