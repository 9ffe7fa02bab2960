#pragma once

#include <cstdint>
#include <optional>
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
  noop,
  meta_get,
  meta_debug,
  sasl_mechanisms,
  sasl_start,
  sasl_step,
};

enum class codec : uint8_t { text, meta, binary };

/// How a command wants to be answered.
struct answer_form {
  codec through = codec::text;
  /// Meta and binary: the usual answer is left out, errors are not.
  bool quiet = false;
  /// Binary: to be sent back.
  uint8_t opcode = 0;
  uint32_t opaque = 0;

  friend bool operator==(const answer_form&, const answer_form&) = default;
};

/// What the meta commands and the binary protocol can ask for beyond the text commands.
struct command_extras {
  /// `exptime` was given: what else keeps its expiry gets this one.
  bool sets_exptime = false;
  /// remove: marks as stale; cas: a unique that is too old stores a stale value.
  bool invalidates = false;
  /// The key came in base64.
  bool binary_key = false;
  /// meta_get: leaves no trace in the marks of hits.
  bool leaves_no_trace = false;
  /// incr, decr, meta_get: made where there is nothing, with this exptime.
  std::optional<int64_t> vivify;
  /// meta_get: what has less time to live is to be replaced.
  std::optional<int64_t> recache;
  /// incr, decr: the value that `vivify` makes.
  uint64_t initial = 0;
  /// Replicas to read, and to write, for this command; 0: as many as usual.
  uint8_t read_quorum = 0;
  uint8_t write_quorum = 0;

  friend bool operator==(const command_extras&, const command_extras&) = default;
};

/// One key, as in most commands, needs no allocation beside its bytes.
using key_list = boost::container::small_vector<blob, 1>;

/// A cas unique that no value has.
inline constexpr uint64_t impossible_cas = UINT64_MAX;

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
  /// stats: its arguments, one space between them. verbosity: its level as decimal text. Meta: the
  /// words that the answer depends on, in their order, one space between them.
  std::string argument;
  answer_form form;
  command_extras extras;

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
    form = {};
    extras = {};
  }

  friend bool operator==(const command&, const command&) = default;
};

} // namespace kai::memcache
