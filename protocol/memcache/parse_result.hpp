#pragma once

#include <cstdint>
#include <string_view>
#include <utility>

#include "protocol/memcache/binary_packet.hpp"
#include "protocol/memcache/command.hpp"

namespace kai::memcache {

enum class parse_status : uint8_t {
  /// All given bytes are used up; more are needed. Nothing given has to be kept by the caller.
  input_pending,
  /// `command` is complete.
  complete,
  /// `error` is the line to answer with, `status_code` the status; go on parsing behind it.
  error,
  /// Close the connection, without an answer where `status_code` is `success`.
  fatal,
};

/// What a parser gives.
struct parse_result {
  parse_status status = parse_status::input_pending;
  memcache::command command;
  /// Text: with its "\r\n", static. Empty when an error is not to be answered.
  std::string_view error;
  /// Binary: of an error.
  binary_status status_code = binary_status::success;
  /// With an error: `command` is a silent `remove` to be run before the answer. A `set` that is
  /// too large for the cache takes the old value with it, so that no client goes on with stale
  /// data.
  bool removes_key = false;

  void remove_instead() {
    auto form = command.form;
    auto keys = std::move(command.keys);
    command.clear();
    command.op = verb::remove;
    command.noreply = true;
    command.form = form;
    command.keys = std::move(keys);
    removes_key = true;
  }
};

} // namespace kai::memcache
