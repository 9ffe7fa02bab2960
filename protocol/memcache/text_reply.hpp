#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "protocol/errc.hpp"
#include "protocol/memcache/command.hpp"
#include "protocol/mutation.hpp"

/// Replies of the text protocol, appended to a connection's write buffer.
namespace kai::memcache {

using output = std::vector<char>;

void append(output& out, std::string_view text);

/// One "VALUE <key> <flags> <bytes> [<cas>]\r\n<data>\r\n" block; `cas` 0 leaves the cas unique
/// out.
void append_value(output& out, std::string_view key, const version& x, uint64_t cas);

/// The line for what a write came to: "STORED\r\n", "42\r\n", ... `op` tells it apart where one
/// outcome reads differently per command. get_and_touch hits are `append_value`'s.
void append_outcome(output& out, verb op, const outcome& x);

/// What to tell a client of an error of the cluster: printable, and not too long.
std::string failure_reason(const caf::error& err);

/// "SERVER_ERROR <reason>\r\n" for an error of the cluster.
void append_failure(output& out, const caf::error& err);

} // namespace kai::memcache
