#include "apps/bench/history.hpp"

#include <algorithm>

namespace kai::bench {

history::history(uint64_t keys, uint32_t run) : run_(run), entries_(keys) {}

history::ticket history::begin_write(uint64_t key) {
  std::lock_guard guard{lock_of(key)};
  auto& x = entries_[key];
  auto alone = x.under_way == 0;
  ++x.under_way;
  return {++x.issued, alone};
}

void history::end_write(uint64_t key, ticket write) {
  std::lock_guard guard{lock_of(key)};
  auto& x = entries_[key];
  --x.under_way;
  if (write.alone)
    x.floor = std::max(x.floor, write.version);
}

uint32_t history::floor(uint64_t key) {
  std::lock_guard guard{lock_of(key)};
  return entries_[key].floor;
}

history::verdict history::check(uint64_t key, uint32_t floor, value_stamp stamp) {
  if (stamp.run != run_)
    return floor == 0 ? verdict::fine : verdict::stale;
  if (stamp.version < floor)
    return verdict::stale;
  std::lock_guard guard{lock_of(key)};
  return stamp.version == 0 || stamp.version > entries_[key].issued ? verdict::wrong
                                                                    : verdict::fine;
}

} // namespace kai::bench
