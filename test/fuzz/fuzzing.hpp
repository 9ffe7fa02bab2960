#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>
#include <vector>

#include "protocol/limits.hpp"
#include "protocol/memcache/parse_result.hpp"

/// What the fuzzers share.
namespace kai::fuzz {

/// Ends the program where a sanitizer would not.
inline void require(bool holds) {
  if (!holds)
    std::abort();
}

/// The values that a fuzzed parser takes.
inline constexpr size_t value_bytes_max = 512;

struct event {
  memcache::parse_status status;
  memcache::command command;
  std::string_view error;
  memcache::binary_status code;
  bool removes_key;

  friend bool operator==(const event&, const event&) = default;
};

/// What a parser makes of `bytes`, cut into pieces of the length `step`, each in a buffer of its
/// own size.
template <class Parser>
std::vector<event> parse(std::string_view bytes, size_t step) {
  Parser parser{value_bytes_max};
  std::vector<event> events;
  memcache::parse_result result;
  while (!bytes.empty()) {
    auto taken = bytes.substr(0, step);
    std::vector<char> piece(taken.begin(), taken.end());
    bytes.remove_prefix(taken.size());
    parser.feed({piece.data(), piece.size()});
    while (parser.next(result) != memcache::parse_status::input_pending) {
      for (auto& key : result.command.keys)
        require(key.size() <= limits::key_bytes_max);
      require(result.command.keys.size() <= limits::keys_per_command_max);
      events.push_back({result.status, {}, result.error, result.status_code, result.removes_key});
      if (result.status == memcache::parse_status::complete)
        events.back().command = std::move(result.command);
    }
  }
  return events;
}

} // namespace kai::fuzz
