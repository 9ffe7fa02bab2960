#pragma once

#include "actors/connection.hpp"

namespace kai {

/// Appends to `out` what the client is told of `x`, which came for `s`, and counts it. Sets
/// `s.failed` where the cluster could not answer.
void write_response(connection_state& st, connection_state::slot& s, const response& x,
                    memcache::output& out);

} // namespace kai
