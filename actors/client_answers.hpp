#pragma once

#include "actors/connection.hpp"

namespace kai {

/// Whether `x`, which was read for a meta get, has to be followed by the slot's write: to win, to
/// set an expiry, to make a placeholder.
bool calls_for_write(const connection_state& st, const connection_state::slot& s,
                     const response& x);

/// Appends to `out` what the client is told of `x`, which came for `s`, and counts it. Sets
/// `s.failed` where the cluster could not answer.
void write_response(connection_state& st, connection_state::slot& s, const response& x,
                    memcache::output& out);

/// That something other than a key could not be had or done.
void write_failure(connection_state::slot& s, const caf::error& err, memcache::output& out);

/// That flush_all or quit is done.
void write_done(connection_state::slot& s);

void write_stats(connection_state::slot& s, std::string_view text);

} // namespace kai
