#pragma once

#include <random>
#include <set>
#include <string>
#include <vector>

#include "protocol/version.hpp"

namespace kai {

/// Records as several nodes make them that write one key on what each happens to know, and merge
/// with each other at random. Beside each record goes its causal history: what `merge` has to
/// compute, in the plainest terms.
class record_world {
public:
  struct replica {
    record value;
    std::set<dot> history;
  };

  record_world(uint64_t seed, size_t nodes) : random_(seed), replicas_(nodes) {}

  uint64_t random() { return random_(); }
  size_t below(size_t n) { return static_cast<size_t>(random_() % n); }
  const replica& at(size_t i) const { return replicas_[i]; }
  size_t size() const { return replicas_.size(); }

  void step() {
    auto i = below(replicas_.size());
    if (below(2) == 0) {
      write(i);
    } else {
      auto j = below(replicas_.size());
      replicas_[i].value = merge(replicas_[i].value, replicas_[j].value);
      replicas_[i].history.insert(replicas_[j].history.begin(), replicas_[j].history.end());
    }
  }

  void steps(size_t n) {
    for (; n > 0; --n)
      step();
  }

  void write(size_t i) {
    auto& x = replicas_[i];
    version next;
    next.written = {100 + i, clock_ += 1 + below(3)};
    auto before = latest(x.value);
    if (before && !before->tombstone && below(4) == 0) {
      next.kept_cas = cas_unique(x.value);
      next.value = before->value;
      next.flags = before->flags;
      next.expires = random_();
      next.marks = *value_marks::unpack(static_cast<uint8_t>(below(8)));
    } else if (below(4) == 0) {
      next.tombstone = true;
    } else {
      next.flags = below(2) ? static_cast<uint32_t>(random_()) : 0;
      next.value = blob::copy_of(std::string(below(40), 'v') + std::to_string(clock_));
    }
    overwrite(x.value, next);
    x.history.insert(next.written);
  }

private:
  std::mt19937_64 random_;
  std::vector<replica> replicas_;
  timestamp clock_ = 0;
};

inline record random_record(uint64_t seed) {
  record_world world{seed, 4};
  world.steps(5 + world.below(30));
  return world.at(0).value;
}

inline record with_version(node_id node, timestamp clock, std::string_view value = "x") {
  record x;
  version v;
  v.written = {node, clock};
  v.value = blob::copy_of(value);
  overwrite(x, v);
  return x;
}

} // namespace kai
