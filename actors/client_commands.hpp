#pragma once

#include "actors/connection.hpp"

namespace kai {

/// What a client's command becomes: an entry of its connection's order, with the write that the
/// cluster is to carry out, the text to answer, or what the connection has to do itself. Errors of
/// the parser become their lines.
void take_command(connection_state& st, memcache::parse_result& x);

/// An answer that only waits for its turn.
void add_text(connection_state& st, std::string_view text);

} // namespace kai
