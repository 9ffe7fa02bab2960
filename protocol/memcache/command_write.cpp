#include "protocol/memcache/command_write.hpp"

#include <algorithm>

namespace kai::memcache {

namespace {

constexpr uint64_t microseconds = 1'000'000;

/// Up to here exptime counts from now: 30 days.
constexpr int64_t relative_seconds_max = 60 * 60 * 24 * 30;

/// Above any time that there will be, and with microseconds still below 2^63.
constexpr int64_t absolute_seconds_max = 1'000'000'000'000;

mutation_kind kind_of(const command& c) {
  switch (c.op) {
  case verb::add: return mutation_kind::add;
  case verb::replace: return mutation_kind::replace;
  case verb::append: return mutation_kind::append;
  case verb::prepend: return mutation_kind::prepend;
  case verb::cas: return mutation_kind::compare_and_set;
  case verb::incr: return mutation_kind::increment;
  case verb::decr: return mutation_kind::decrement;
  case verb::touch: return mutation_kind::touch;
  case verb::gat:
  case verb::gats: return mutation_kind::get_and_touch;
  case verb::meta_get: return mutation_kind::fetch;
  case verb::remove:
    return c.extras.invalidates ? mutation_kind::invalidate : mutation_kind::remove;
  default: return mutation_kind::set;
  }
}

} // namespace

mutation write_of(command& c, timestamp now) {
  mutation result;
  result.kind = kind_of(c);
  result.flags = c.flags;
  result.expires = absolute_expiry(c.exptime, now);
  result.delta = c.delta;
  result.compare = c.cas;
  result.value = std::move(c.value);
  if (c.form.through == codec::text)
    return result;
  auto& extras = c.extras;
  result.sets_expiry = extras.sets_exptime;
  result.reports_expiry = c.form.through == codec::meta;
  result.stale_if_late = extras.invalidates && result.kind == mutation_kind::compare_and_set;
  if (extras.vivify)
    result.vivify = absolute_expiry(*extras.vivify, now);
  result.initial = extras.initial;
  // memcached compares whole seconds, which a client sees as `t`: R30 is for a value of 29.
  if (extras.recache && *extras.recache > 0)
    result.recache_before = absolute_expiry(*extras.recache, now) - microseconds + 1;
  result.marks.binary_key = extras.binary_key;
  result.quorum = extras.write_quorum;
  return result;
}

timestamp absolute_expiry(int64_t exptime, timestamp now) {
  if (exptime == 0)
    return 0;
  if (exptime < 0)
    return 1;
  auto seconds = static_cast<uint64_t>(std::min(exptime, absolute_seconds_max));
  return seconds * microseconds + (exptime <= relative_seconds_max ? now : 0);
}

int64_t flush_delay(int64_t exptime, timestamp now) {
  if (exptime <= relative_seconds_max)
    return exptime;
  return exptime - static_cast<int64_t>(now / microseconds);
}

} // namespace kai::memcache
