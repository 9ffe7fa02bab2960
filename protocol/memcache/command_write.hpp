#pragma once

#include "protocol/memcache/command.hpp"
#include "protocol/mutation.hpp"

namespace kai::memcache {

/// What a command does to its key, whichever codec it came through: of storage, arithmetic, touch,
/// gat and delete commands, and of a meta get that changes something. Takes the value out of `c`.
/// `now`: what relative times count from.
mutation write_of(command& c, timestamp now);

/// memcached's reading of exptime as kai's absolute microseconds: 0 never; negative: 1 (long ago);
/// up to 30 days: relative to `now`; above: seconds since 1970.
timestamp absolute_expiry(int64_t exptime, timestamp now);

/// How many seconds from `now` a flush_all with this exptime takes effect; at or below 0: at once.
int64_t flush_delay(int64_t exptime, timestamp now);

} // namespace kai::memcache
