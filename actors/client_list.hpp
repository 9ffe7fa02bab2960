#pragma once

#include <string>

#include "actors/io_loop.hpp"

namespace kai {

/// The answer to `stats conns`, in memcached's words: the listening socket and every client, by
/// descriptor, each with its address, what it is doing, and for how long it has sent nothing. On
/// the loop's thread only.
std::string list_clients(io_loop& loop);

} // namespace kai
