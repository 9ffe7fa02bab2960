#pragma once

#include "actors/connection.hpp"

namespace kai {

/// Takes a command of a client that has not authenticated. Nothing but authentication, and what
/// memcached lets through before it, is possible.
void take_before_authentication(connection_state& st, const memcache::command& c);

/// Takes a SASL command (binary protocol).
void take_sasl(connection_state& st, const memcache::command& c);

} // namespace kai
