#include "protocol/memcache/access_marks.hpp"

namespace kai::memcache {

void access_marks::carry_over(uint64_t hash, timestamp written) {
  auto& x = entries_[hash % entries_.size()];
  if (x.hash == hash && x.last != 0)
    x.written = written;
}

access_mark access_marks::of(uint64_t hash, timestamp written) const {
  auto& x = entries_[hash % entries_.size()];
  if (x.hash == hash && x.written == written && x.last != 0)
    return {true, x.last};
  return {false, written};
}

} // namespace kai::memcache
