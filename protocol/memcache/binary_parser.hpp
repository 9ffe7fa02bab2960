#pragma once

#include <array>
#include <cstddef>
#include <optional>
#include <string_view>

#include "protocol/memcache/binary_packet.hpp"
#include "protocol/memcache/command.hpp"
#include "protocol/memcache/parse_result.hpp"

namespace kai::memcache {

/// Incremental parser of the binary protocol, as memcached 1.6.18 reads it. To be used like
/// text_parser. A value is copied once, from the read buffer into its blob. Memory: one header with
/// its extras, one key and one value.
///
/// An error has its status in `parse_result::status_code`, and `command` says what is answered
/// (its form) and, where `removes_key`, what is to be run. `fatal` has a status to answer too,
/// unless that is `success`: the bytes were no packet at all.
class binary_parser {
public:
  /// `value_bytes_max`: memcache.max-item-size. A larger value is swallowed and then refused.
  explicit binary_parser(size_t value_bytes_max) : value_bytes_max_(value_bytes_max) {}

  binary_parser(const binary_parser&) = delete;
  binary_parser& operator=(const binary_parser&) = delete;

  void feed(std::string_view chunk) { rest_ = chunk; }
  parse_status next(parse_result& out);

  /// While the client has to authenticate, a packet that is for something else closes the
  /// connection, and its value is not awaited.
  void require_authentication(bool x) { authenticates_ = x; }

private:
  enum class mode : uint8_t { header, extras, key, value, swallow, closed };

  /// One step; nothing when another has to follow.
  using step = std::optional<parse_status>;

  bool fill(char* to, size_t size);
  step read_header(parse_result& out);
  void read_extras();
  step begin_value(parse_result& out);
  step swallow(parse_result& out);
  step complete(parse_result& out);
  step fail(parse_result& out, binary_status status);
  step close(parse_result& out, binary_status status);
  step close_behind_key(binary_status status);
  size_t value_bytes() const {
    return header_.body_bytes - header_.extras_bytes - header_.key_bytes;
  }

  size_t value_bytes_max_;
  /// What of the chunk is not used up.
  std::string_view rest_;
  mode mode_ = mode::header;
  bool authenticates_ = false;
  /// How much there is of the part that is being read.
  size_t filled_ = 0;
  binary_header header_{};
  std::array<char, 20> extras_{};
  blob key_;
  /// The command under way.
  memcache::command command_;
  size_t to_swallow_ = 0;
  binary_status swallow_status_ = binary_status::success;
  /// The connection closes when it is swallowed.
  bool closes_ = false;
};

} // namespace kai::memcache
