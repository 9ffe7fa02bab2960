#pragma once

#include <string>
#include <utility>

#include <caf/io/broker.hpp>
#include <caf/stateful_actor.hpp>

#include "actors/io_loop.hpp"
#include "protocol/limits.hpp"
#include "protocol/memcache/binary_parser.hpp"
#include "protocol/memcache/pipeline.hpp"
#include "protocol/memcache/text_parser.hpp"
#include "protocol/memcache/text_reply.hpp"

namespace kai {

/// What `version` answers: clients tell from it what a server can do, and kai does what this
/// memcached does.
inline constexpr const char* memcache_version = "1.6.18";

/// Whom a connection asks about things other than keys.
struct client_services {
  topology_actor topology;
  stats_actor stats;
};

} // namespace kai

CAF_ALLOW_UNSAFE_MESSAGE_TYPE(kai::client_services)

namespace kai {

/// One client: parser, answers in order, back-pressure, half-close.
///
/// Forked by the acceptor; a broker on the I/O loop; lives until the client goes, sends `quit` or
/// breaks the protocol. When it dies its commands may have happened or not; the client sees a
/// closed connection.
struct connection_state {
  static inline const char* name = "kai.connection";

  connection_state() = default;
  ~connection_state() {
    held_bytes = 0;
    note_backlog(0);
    if (loop)
      loop->clients.erase(this);
  }

  /// What is left in the socket's buffer from now on.
  void note_backlog(size_t bytes) {
    backlog = bytes;
    auto before = std::exchange(noted_unsent, backlog + held_bytes);
    if (loop)
      loop->unsent += noted_unsent - before;
  }

  /// What is to be answered in one place of the order.
  struct slot {
    memcache::verb op = memcache::verb::get;
    bool noreply = false;
    /// The last key of a get: END follows.
    bool ends = false;
    /// The command it belongs to: when one key of a get fails, nothing of that get follows.
    uint64_t command = 0;
    blob key;
    uint64_t hash = 0;
    std::optional<mutation> write;
    /// Meta get: `write` is only done where the value that was read calls for it.
    bool reads_first = false;
    memcache::answer_form form;
    memcache::command_extras extras;
    std::string argument;
    int64_t delay = 0;
    /// What it is answered with, whole lines or packets: for one that is finished before its turn.
    memcache::output text;
    bool failed = false;
  };
  using pipeline = memcache::pipeline<slot>;

  io_loop_ptr loop;
  client_services services;
  caf::io::connection_handle handle;
  /// One of the two, from the first byte on.
  std::optional<memcache::text_parser> text;
  std::optional<memcache::binary_parser> binary;
  memcache::parse_result parsed;
  /// What the client sent while it had too much under way, not looked at yet: at most two reads.
  std::string held_input;
  pipeline commands;
  /// When the client last sent something.
  timestamp heard = 0;
  size_t read_bytes = limits::client_read_bytes_min;
  int small_reads = 0;
  uint64_t next_command = 0;
  /// One of this command's keys failed, and the client was told so: nothing of it follows.
  uint64_t failed_command = UINT64_MAX;
  /// A key that failed, maybe before its turn: what is behind it in its command need not start.
  struct failed_key {
    uint64_t command = UINT64_MAX;
    uint64_t sequence = 0;

    bool ends(uint64_t other_command, uint64_t other) const {
      return other_command == command && other > sequence;
    }
  };
  failed_key last_failure;
  request_list starting;
  /// Null where there are no rounds, under CAF's test scheduler.
  response_box_ptr box;
  /// Bytes of values that are on their way to the replicas.
  size_t request_bytes = 0;
  /// Largest recent answer: how many commands may be under way follows from it.
  size_t answer_estimate = limits::answer_bytes_first;
  /// Bytes of answers that wait for those before them.
  size_t held_bytes = 0;
  bool authenticated = true;
  /// A SASL exchange waits for the client's next message.
  bool sasl_started = false;
  bool paused = false;
  /// The loop has not yet taken note of the last `halt` or `trigger`. CAF gathers such changes
  /// until the end of a turn, and a second one in the same turn undoes the first only in part: the
  /// socket would never be read again.
  bool switching = false;
  /// Bytes in the socket's buffer that were there before.
  size_t backlog = 0;
  /// What of `loop->unsent` is this client's.
  size_t noted_unsent = 0;
  bool counting_writes = false;
  bool client_done = false;
  bool closing = false;
  /// When it is given up, whatever the client has not taken.
  std::optional<caf::actor_clock::time_point> ends_at;
};

using connection_self = caf::stateful_actor<connection_state, caf::io::broker>;

caf::behavior connection(connection_self* self, caf::io::connection_handle handle, io_loop_ptr loop,
                         client_services services);

} // namespace kai
