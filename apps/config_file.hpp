#pragma once

#include <string>
#include <string_view>
#include <vector>

#include <caf/expected.hpp>

namespace kai {

/// One `key = value` of a configuration file.
struct config_entry {
  std::string group;
  std::string key;
  /// From 1.
  size_t line = 0;
  enum class form : uint8_t { bare, quoted, atom, list } written = form::bare;
  /// One, or as many as the list has.
  std::vector<std::string> values;
};

/// Reads the format of conf/kai.conf, a subset of CAF's: `[group]`, `key = value`, comments from a
/// semicolon on. A value is a bare word, a "string", an 'atom' or a list in brackets, which may
/// continue on the next lines. What CAF would silently misread (`#`, `group.key=1`, braces, a key
/// given twice) is an error. Errors begin with the number of their line, as in `12: message`.
caf::expected<std::vector<config_entry>> parse_config_file(std::string_view text);

} // namespace kai
