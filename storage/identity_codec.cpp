#include "storage/identity_codec.hpp"

#include <array>
#include <charconv>
#include <cstdio>

#include <xxhash.h>

#include "protocol/errc.hpp"

namespace kai {

namespace {

std::string hex(uint64_t x) {
  std::array<char, 17> digits;
  std::snprintf(digits.data(), digits.size(), "%016llx", static_cast<unsigned long long>(x));
  return digits.data();
}

std::string checksum_line(std::string_view text) {
  return "checksum " + hex(XXH3_64bits(text.data(), text.size())) + "\n";
}

std::optional<uint64_t> number(std::string_view text, int base) {
  uint64_t x = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), x, base);
  if (error != std::errc{} || end != text.data() + text.size())
    return std::nullopt;
  return x;
}

/// Takes the line `label REST` off the text.
std::optional<std::string_view> take_line(std::string_view& text, std::string_view label) {
  auto line = text.substr(0, text.find('\n'));
  if (line.size() == text.size() || !line.starts_with(label) || line.size() <= label.size() ||
      line[label.size()] != ' ')
    return std::nullopt;
  text.remove_prefix(line.size() + 1);
  return line.substr(label.size() + 1);
}

std::optional<uint64_t> take_number(std::string_view& text, std::string_view label, int base) {
  auto rest = take_line(text, label);
  return rest ? number(*rest, base) : std::nullopt;
}

} // namespace

std::string to_text(const directory_identity& who) {
  auto text = "kai-directory " + std::to_string(directory_format) + "\nnode " + hex(who.node) +
              "\nname " + who.name + "\nvnodes " + std::to_string(who.vnodes) + "\n";
  return text + checksum_line(text);
}

caf::expected<directory_identity> identity_from_text(std::string_view text) {
  auto rest = text;
  auto format = take_number(rest, "kai-directory", 10);
  if (format && *format > directory_format)
    return failure(errc::incompatible, "format " + std::to_string(*format) +
                                           ", and this kai knows up to " +
                                           std::to_string(directory_format));
  auto node = take_number(rest, "node", 16);
  auto name = take_line(rest, "name");
  auto cluster = format && *format <= 2 ? take_number(rest, "cluster", 16) : 0;
  auto vnodes = take_number(rest, "vnodes", 10);
  auto emptying = format && *format == 1 ? take_number(rest, "emptying", 10) : 0;
  auto checked = text.substr(0, text.size() - rest.size());
  if (!format || !node || !name || !cluster || !vnodes || emptying != 0u || *vnodes == 0 ||
      *vnodes > UINT32_MAX || rest != checksum_line(checked))
    return failure(errc::damaged, "the file `identity` is damaged");
  return directory_identity{*node, std::string{*name}, static_cast<uint32_t>(*vnodes)};
}

} // namespace kai
