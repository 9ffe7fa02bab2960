#pragma once

#include <string>
#include <string_view>

#include "protocol/memcache/binary_packet.hpp"

/// Packets of the binary protocol for tests.
namespace kai::memcache::test {

template <class T>
std::string bytes_of(T x) {
  return {reinterpret_cast<const char*>(&x), sizeof x};
}

inline std::string big32(uint32_t x) { return bytes_of(boost::endian::big_uint32_t{x}); }
inline std::string big64(uint64_t x) { return bytes_of(boost::endian::big_uint64_t{x}); }

struct packet {
  uint8_t opcode = 0;
  std::string extras = {};
  std::string key = {};
  std::string value = {};
  uint32_t opaque = 0;
  uint64_t cas = 0;

  binary_header header() const {
    binary_header x{};
    x.magic = binary_request_magic;
    x.opcode = opcode;
    x.key_bytes = static_cast<uint16_t>(key.size());
    x.extras_bytes = static_cast<uint8_t>(extras.size());
    x.body_bytes = static_cast<uint32_t>(extras.size() + key.size() + value.size());
    x.opaque = opaque;
    x.cas = cas;
    return x;
  }
  std::string bytes() const { return bytes_of(header()) + extras + key + value; }
};

/// An answer, taken apart.
struct answer_packet {
  uint8_t opcode = 0;
  binary_status status = binary_status::success;
  std::string extras;
  std::string key;
  std::string value;
  uint32_t opaque = 0;
  uint64_t cas = 0;
};

/// The first answer of `bytes`, which lose it.
inline answer_packet take_answer(std::string_view& bytes) {
  binary_header header{};
  bytes.copy(reinterpret_cast<char*>(&header), sizeof header);
  bytes.remove_prefix(sizeof header);
  answer_packet x;
  x.opcode = header.opcode;
  x.status = static_cast<binary_status>(uint16_t{header.status});
  x.opaque = header.opaque;
  x.cas = header.cas;
  x.extras = bytes.substr(0, header.extras_bytes);
  x.key = bytes.substr(x.extras.size(), header.key_bytes);
  x.value = bytes.substr(x.extras.size() + x.key.size(),
                         header.body_bytes - x.extras.size() - x.key.size());
  bytes.remove_prefix(header.body_bytes);
  return x;
}

} // namespace kai::memcache::test
