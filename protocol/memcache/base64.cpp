#include "protocol/memcache/base64.hpp"

#include <cstdint>

namespace kai::memcache {

namespace {

constexpr std::string_view alphabet =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

} // namespace

std::string encode_base64(std::string_view bytes) {
  std::string result;
  result.reserve((bytes.size() + 2) / 3 * 4);
  for (; !bytes.empty(); bytes.remove_prefix(bytes.size() < 3 ? bytes.size() : 3)) {
    uint32_t group = 0;
    for (size_t i = 0; i < 3; ++i)
      group = group << 8 | (i < bytes.size() ? static_cast<uint8_t>(bytes[i]) : 0);
    for (size_t i = 0; i < 4; ++i)
      result += i <= bytes.size() ? alphabet[group >> (18 - 6 * i) & 63] : '=';
  }
  return result;
}

std::optional<std::string> decode_base64(std::string_view text) {
  size_t count = 0;
  for (auto c : text)
    count += c == '=' || alphabet.find(c) != std::string_view::npos;
  if (count == 0 || count % 4 != 0)
    return std::nullopt;
  std::string result;
  uint32_t group = 0;
  size_t in_group = 0;
  size_t padding = 0;
  for (auto c : text) {
    auto digit = alphabet.find(c);
    if (digit == std::string_view::npos && c != '=')
      continue;
    padding += c == '=';
    group = group << 6 | (c == '=' ? 0 : static_cast<uint32_t>(digit));
    if (++in_group < 4)
      continue;
    for (auto shift : {16, 8, 0})
      result += static_cast<char>(group >> shift & 0xff);
    if (padding > 2)
      return std::nullopt;
    if (padding > 0) {
      result.resize(result.size() - padding);
      break;
    }
    group = 0;
    in_group = 0;
  }
  return result.empty() ? std::nullopt : std::optional{std::move(result)};
}

} // namespace kai::memcache
