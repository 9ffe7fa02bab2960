#pragma once

#include <cstdint>
#include <string>

#include <boost/container/small_vector.hpp>

#include "protocol/blob.hpp"

/// What a memcache client said and what it is told, as values, whichever codec they came through
/// (memcached's doc/protocol.txt).
namespace kai::memcache {

enum class verb : uint8_t {
  get,
  gets,
  gat,
  gats,
  set,
  add,
  replace,
  append,
  prepend,
  cas,
  incr,
  decr,
  touch,
  remove,
  flush_all,
  version,
  verbosity,
  stats,
  quit,
};

/// One key, as in most commands, needs no allocation beside its bytes.
using key_list = boost::container::small_vector<blob, 1>;

/// One command. Which fields count depends on `op`.
struct command {
  verb op = verb::get;
  bool noreply = false;
  /// get, gets, gat, gats: the line goes on, and the next result of the parser has its next keys
  /// (or the error that ends it). Nothing follows the values before a command without `more`.
  bool more = false;
  /// get, gets: one to limits::keys_per_command_max. gat, gats: the same or, as memcached reads
  /// "gat 0", none. Every other command with a key: exactly one.
  key_list keys;
  blob value;
  uint32_t flags = 0;
  /// As the client wrote it: 0 never, up to 30 days relative seconds, above absolute, negative at
  /// once. Also flush_all's delay.
  int64_t exptime = 0;
  uint64_t delta = 0;
  uint64_t cas = 0;
  /// stats: its arguments, one space between them. verbosity: its level as decimal text.
  std::string argument;

  /// Back to a new one, with the memory that it has.
  void clear() {
    op = verb::get;
    noreply = more = false;
    keys.clear();
    value = {};
    flags = 0;
    exptime = 0;
    delta = cas = 0;
    argument.clear();
  }

  friend bool operator==(const command&, const command&) = default;
};

} // namespace kai::memcache
