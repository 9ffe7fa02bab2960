#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "apps/bench/options.hpp"

namespace kai::bench {

/// How one request ended.
enum class outcome : uint8_t {
  /// A read found a value.
  hit,
  /// A read found none.
  miss,
  /// A write was acknowledged.
  stored,
  /// Any other line: `SERVER_ERROR ...`, `NOT_STORED`, ...
  refused,
};

/// Takes what an `answer_reader` finds. All views are valid during the call only.
class answer_sink {
public:
  virtual ~answer_sink() = default;

  /// A value of `bytes` begins. `key` is empty in meta answers.
  virtual void value_begin(std::string_view key, uint64_t bytes) = 0;
  virtual void value_piece(std::string_view piece) = 0;
  virtual void value_end() = 0;

  /// One request is answered; `line` is the answer's last line, without its end. False stops the
  /// reader: the answer belongs to no request.
  virtual bool answered(outcome how, std::string_view line) = 0;
};

/// Reads a server's answers from a byte stream, cut anywhere, without keeping values. It needs not
/// know what was asked: every line says itself whether it ends a read or a write.
class answer_reader {
public:
  explicit answer_reader(protocol_kind protocol) : protocol_(protocol) {}

  /// False: this is not memcache, or the sink stopped; the connection can not be used any more.
  bool feed(std::string_view bytes, answer_sink& sink);

  /// Forgets what it has read of an unfinished answer: a new connection.
  void reset();

private:
  enum class state : uint8_t { line, value, value_end };

  bool take_line(std::string_view line, answer_sink& sink);
  bool take_text_line(std::string_view line, answer_sink& sink);
  bool take_meta_line(std::string_view line, answer_sink& sink);
  void begin_value(std::string_view key, uint64_t bytes, answer_sink& sink);
  bool end_value(answer_sink& sink);

  protocol_kind protocol_;
  state state_ = state::line;
  bool values_seen_ = false;
  uint64_t missing_ = 0;
  std::string partial_;
};

} // namespace kai::bench
