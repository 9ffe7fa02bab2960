#pragma once

#include <cstdint>
#include <vector>

#include "protocol/hybrid_clock.hpp"
#include "protocol/limits.hpp"
#include "protocol/memcache/meta_reply.hpp"

namespace kai::memcache {

/// When this node last gave which value to a client: what `mg` and `me` say of hits. A memory of a
/// fixed size, in which keys displace each other; what it forgot was never fetched.
class access_marks {
public:
  /// The value of the key with this hash that was written at `written` was given to a client.
  void note(uint64_t hash, timestamp written, timestamp now) {
    entries_[hash % entries_.size()] = {hash, written, now};
  }

  /// A change that keeps its marks gave the value another time.
  void carry_over(uint64_t hash, timestamp written);

  access_mark of(uint64_t hash, timestamp written) const;

private:
  struct entry {
    uint64_t hash = 0;
    timestamp written = 0;
    timestamp last = 0;
  };
  std::vector<entry> entries_ = std::vector<entry>(limits::access_marks_max);
};

} // namespace kai::memcache
