#include "protocol/sync_rules.hpp"

#include <algorithm>
#include <map>
#include <string_view>

namespace kai {

namespace {

using entry = leaf_answer::entry;

timestamp before(timestamp now, std::chrono::microseconds age) {
  auto span = static_cast<timestamp>(age.count());
  return now > span ? now - span : 0;
}

bool over_for(std::chrono::microseconds age, timestamp over_since, timestamp now) {
  return over_since != 0 && over_since < before(now, age);
}

bool counts(const entry* mine, const entry* theirs, const sync_times& times) {
  if (times.all)
    return true;
  auto young = before(times.now, times.young);
  auto over = true;
  for (auto x : {mine, theirs}) {
    if (x && x->newest > young)
      return false;
    over = over && (!x || over_for(times.grace, x->over_since, times.now));
  }
  return !over;
}

} // namespace

std::vector<uint16_t> differing_leaves(std::span<const uint64_t> mine,
                                       std::span<const uint64_t> theirs) {
  std::vector<uint16_t> result;
  for (size_t i = 0; i < std::min(mine.size(), theirs.size()); ++i)
    if (mine[i] != theirs[i])
      result.push_back(static_cast<uint16_t>(i));
  return result;
}

std::vector<key_difference> differing_keys(const leaf_answer& mine, const leaf_answer& theirs,
                                           const sync_times& times) {
  std::map<std::string_view, std::pair<const entry*, const entry*>> keys;
  for (auto& x : mine.entries)
    keys[x.key.view()].first = &x;
  for (auto& x : theirs.entries)
    keys[x.key.view()].second = &x;
  std::vector<key_difference> result;
  for (auto& [key, found] : keys) {
    auto [a, b] = found;
    if (a && b && a->digest == b->digest)
      continue;
    if (counts(a, b, times))
      result.push_back({(a ? a : b)->key, a != nullptr, b != nullptr});
  }
  return result;
}

timestamp in_sync_since(timestamp now, uint64_t changed_at, std::span<const reap_witness> others) {
  auto result = now;
  for (auto& x : others) {
    if (x.dropped_until < changed_at)
      return 0;
    if (x.is_replica)
      result = std::min(result, x.equal_at);
  }
  return result;
}

bool reapable(timestamp over_since, timestamp in_sync, const sync_times& times) {
  return over_for(limits::reap_age(times.grace), over_since, times.now) && over_since < in_sync;
}

} // namespace kai
