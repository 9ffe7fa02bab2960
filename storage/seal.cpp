#include "storage/seal.hpp"

#include <xxhash.h>

#include "protocol/wire.hpp"

namespace kai {

namespace {

constexpr uint8_t seal_format = 1;
constexpr size_t header_bytes = 1 + sizeof(uint64_t);

uint64_t checksum_of(std::string_view name, std::string_view value) {
  auto seed = XXH3_64bits_withSeed(name.data(), name.size(), seal_format);
  return XXH3_64bits_withSeed(value.data(), value.size(), seed);
}

} // namespace

std::string sealed(std::string_view name, std::string_view value) {
  std::string result;
  byte_writer out{result};
  out.u8(seal_format);
  out.u64(checksum_of(name, value));
  return result.append(value);
}

std::optional<std::string> unsealed(std::string_view name, std::string_view bytes) {
  byte_reader in{bytes};
  auto format = in.u8();
  auto checksum = in.u64();
  if (!in.ok() || format != seal_format)
    return std::nullopt;
  auto value = bytes.substr(header_bytes);
  if (checksum != checksum_of(name, value))
    return std::nullopt;
  return std::string{value};
}

} // namespace kai
