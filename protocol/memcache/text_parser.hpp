#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "protocol/memcache/parse_result.hpp"
#include "protocol/memcache/text_line.hpp"

namespace kai::memcache {

/// Incremental parser of the classic text commands. Reads each command the way memcached 1.6.18
/// does, malformed ones included. A value is copied once, from the read buffer into its blob.
/// Memory: one command line, one value, and the keys of one command.
///
///     parser.feed(chunk);
///     while (parser.next(result) != parse_status::input_pending) ...
///
/// `chunk` must stay valid until `next` has returned input_pending. Results may be moved out of;
/// giving the same one again saves its memory. After `quit` and after `fatal` everything is
/// discarded.
class text_parser {
public:
  /// `value_bytes_max`: memcache.max-item-size. Larger data is swallowed and then answered with
  /// "SERVER_ERROR object too large for cache".
  explicit text_parser(size_t value_bytes_max) : value_bytes_max_(value_bytes_max) {}

  text_parser(const text_parser&) = delete;
  text_parser& operator=(const text_parser&) = delete;

  void feed(std::string_view chunk) { rest_ = chunk; }
  parse_status next(parse_result& out);

  /// From the next line on: while the client has to authenticate, a line is a `set` of its
  /// credentials, as memcached -Y reads it, or the error `unauthenticated` whatever it says.
  void require_authentication(bool x) { authenticates_ = x; }

private:
  enum class mode : uint8_t { line, keys, value, swallow, closed };

  /// One step; nothing when another has to follow. `out.command` is the command under way.
  using step = std::optional<parse_status>;

  step read_line(parse_result& out);
  step on_line(std::string_view line, parse_result& out);
  step on_unfinished_line(parse_result& out);
  step on_credentials_line(std::string_view line, parse_result& out);
  step begin_value(size_t bytes, parse_result& out);
  step read_value(parse_result& out);
  step begin_swallow(size_t bytes, std::string_view error);
  step swallow(parse_result& out);
  void begin_keys(std::string_view source, bool whole_line);
  void set_source(std::string_view source);
  step read_keys(parse_result& out);
  step take_key(std::string_view key, parse_result& out);
  bool has_long_key_ahead();
  void refuse_keys(parse_result& out);
  bool refill_keys(parse_result& out);
  step finish_keys(parse_result& out);
  step refuse(std::string_view error, parse_result& out);
  step close();
  void drop_pending();

  size_t value_bytes_max_;
  /// What of the chunk is not used up.
  std::string_view rest_;
  /// The start of a line that has not ended, or of a key of an endless get.
  std::string pending_;
  mode mode_ = mode::line;
  bool authenticates_ = false;
  /// The command under way while more bytes are awaited.
  memcache::command command_;

  // keys: those at hand are in `source_`, which lies in `rest_`'s chunk or in `pending_`.
  std::string_view source_;
  /// Nothing behind `source_` counts: the line ends there, or a NUL cut it off.
  bool source_is_last_ = false;
  /// The line's end was read.
  bool line_ended_ = false;
  /// The line has a key that is too long.
  bool line_refused_ = false;
  /// `source_` was searched for keys that are too long.
  bool source_checked_ = false;

  // value, swallow
  size_t filled_ = 0;
  bool ends_well_ = true;
  size_t to_swallow_ = 0;
  std::string_view swallow_error_;
  bool removes_key_ = false;
};

} // namespace kai::memcache
