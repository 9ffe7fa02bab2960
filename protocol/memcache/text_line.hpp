#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "protocol/memcache/command.hpp"

/// What one command line of the classic text protocol means.
namespace kai::memcache {

enum class line_kind : uint8_t {
  /// The command is complete.
  complete,
  /// `error` is the answer; the command's `noreply` says to keep it.
  error,
  /// Close the connection without an answer.
  fatal,
  /// A data block of `data_bytes` and "\r\n" follow.
  data,
  /// The same, and then `error` is the answer.
  swallow,
  /// `keys` are the keys, still to be taken apart.
  keys,
};

struct line_meaning {
  line_kind kind = line_kind::complete;
  /// With its "\r\n".
  std::string_view error;
  size_t data_bytes = 0;
  std::string_view keys;
};

/// The answers to lines that are no commands, and to keys and data blocks that are none.
inline constexpr std::string_view unknown_command = "ERROR\r\n";
inline constexpr std::string_view bad_format = "CLIENT_ERROR bad command line format\r\n";
inline constexpr std::string_view bad_data_chunk = "CLIENT_ERROR bad data chunk\r\n";
inline constexpr std::string_view too_large_for_cache =
    "SERVER_ERROR object too large for cache\r\n";
inline constexpr std::string_view unauthenticated = "CLIENT_ERROR unauthenticated\r\n";
inline constexpr std::string_view bad_termination = "CLIENT_ERROR bad command line termination\r\n";
inline constexpr std::string_view out_of_memory = "SERVER_ERROR out of memory storing object\r\n";

/// Reads one line, without its end, into `into`, which is clear. Everything that memcached 1.6.18
/// takes is taken, everything that it refuses is refused with its words.
line_meaning interpret_line(std::string_view line, command& into);

/// Whether `start`, of a line whose end is out of sight, may be that of a get line of any length;
/// then `keys` is what follows its verb. memcached grants that to "get " and "gets " alone, behind
/// at most 100 spaces.
bool starts_endless_get(std::string_view start, command& into, std::string_view& keys);

} // namespace kai::memcache
