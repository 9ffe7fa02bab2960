#pragma once

#include "actors/connection.hpp"

namespace kai {

/// Whether the client has to authenticate, for the parser too.
void require_authentication(connection_state& st, bool x);

/// Takes a command of a client that has not authenticated. The parser lets through nothing but
/// authentication, and `version` in binary.
void take_before_authentication(connection_state& st, const memcache::command& c);

/// Takes a SASL command (binary protocol).
void take_sasl(connection_state& st, const memcache::command& c);

} // namespace kai
