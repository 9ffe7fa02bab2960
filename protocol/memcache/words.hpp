#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <string_view>

/// Lines of the text protocol as words, which spaces alone separate.
namespace kai::memcache {

/// The longest data block that memcached's int can hold with its line end.
inline constexpr int32_t data_bytes_max = std::numeric_limits<int32_t>::max() - 2;

/// The first word of `line`, which loses it.
inline std::string_view take_word(std::string_view& line) {
  auto first = line.find_first_not_of(' ');
  if (first == std::string_view::npos) {
    line = {};
    return {};
  }
  line.remove_prefix(first);
  auto result = line.substr(0, line.find(' '));
  line.remove_prefix(result.size());
  return result;
}

/// The words of a line behind its verb. memcached stops taking it apart at 23, the verb included;
/// what follows is ignored.
struct words_of_line {
  std::array<std::string_view, 22> words;
  size_t count = 0;

  explicit words_of_line(std::string_view line) {
    while (count < words.size()) {
      auto word = take_word(line);
      if (word.empty())
        break;
      words[count++] = word;
    }
  }

  std::string_view operator[](size_t i) const { return words[i]; }
  std::string_view last() const { return count > 0 ? words[count - 1] : std::string_view{}; }
};

} // namespace kai::memcache
