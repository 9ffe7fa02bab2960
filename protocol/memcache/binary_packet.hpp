#pragma once

#include <cstdint>
#include <string_view>

#include <boost/endian/arithmetic.hpp>

/// The layout of the binary protocol (memcached's doc/protocol-binary.xml): a header, then extras,
/// key and value, whose lengths it gives.
namespace kai::memcache {

inline constexpr uint8_t binary_request_magic = 0x80;
inline constexpr uint8_t binary_response_magic = 0x81;

enum class binary_status : uint16_t {
  success = 0x00,
  key_not_found = 0x01,
  key_exists = 0x02,
  too_large = 0x03,
  invalid_arguments = 0x04,
  not_stored = 0x05,
  not_a_number = 0x06,
  auth_error = 0x20,
  auth_continue = 0x21,
  unknown_command = 0x81,
  out_of_memory = 0x82,
  busy = 0x85,
  temporary_failure = 0x86,
};

struct binary_header {
  boost::endian::big_uint8_t magic;
  boost::endian::big_uint8_t opcode;
  boost::endian::big_uint16_t key_bytes;
  boost::endian::big_uint8_t extras_bytes;
  boost::endian::big_uint8_t data_type;
  /// Of an answer; reserved in a request.
  boost::endian::big_uint16_t status;
  /// Extras, key and value.
  boost::endian::big_uint32_t body_bytes;
  boost::endian::big_uint32_t opaque;
  boost::endian::big_uint64_t cas;
};
static_assert(sizeof(binary_header) == 24);

/// The text that memcached 1.6.18 sends with an error.
std::string_view text_of(binary_status x);

/// Whether answers to the opcode repeat the key: getk, gatk and their quiet forms.
bool answers_with_key(uint8_t opcode);

} // namespace kai::memcache
