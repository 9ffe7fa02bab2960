#pragma once

#include <optional>
#include <string>
#include <string_view>

/// Keys of the meta commands in base64 (RFC 4648, with padding).
namespace kai::memcache {

std::string encode_base64(std::string_view bytes);

/// As memcached 1.6.18 reads it: characters that are no base64 are passed over, and nothing counts
/// behind a padded group. Nothing when it is empty, or ends within a group of four.
std::optional<std::string> decode_base64(std::string_view text);

} // namespace kai::memcache
