#include "apps/config_file.hpp"

#include <unordered_map>

#include "protocol/errc.hpp"

namespace kai {

namespace {

bool name_char(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
         c == '_';
}

/// Where in the text, and what was found until there. After the first error `error` is set and
/// nothing else counts.
class reader {
public:
  explicit reader(std::string_view text) : rest_(text) {
    if (rest_.starts_with("\xef\xbb\xbf"))
      rest_.remove_prefix(3);
  }

  caf::expected<std::vector<config_entry>> read_all() {
    while (!rest_.empty() && !error_) {
      skip_blanks();
      read_line();
      if (!error_)
        end_of_line();
    }
    if (error_)
      return std::move(error_);
    return std::move(entries_);
  }

private:
  char peek() const { return rest_.empty() ? '\n' : rest_.front(); }

  char take() {
    auto c = rest_.front();
    rest_.remove_prefix(1);
    if (c == '\n')
      ++line_;
    return c;
  }

  void skip_blanks() {
    while (peek() == ' ' || peek() == '\t' || peek() == '\r')
      take();
  }

  void fail(const std::string& message) {
    if (!error_)
      error_ = failure(errc::bad_configuration, std::to_string(line_) + ": " + message);
  }

  void end_of_line() {
    skip_blanks();
    if (peek() == ';')
      while (peek() != '\n')
        take();
    if (peek() == '#')
      fail("a comment starts with a semicolon, not with #");
    else if (peek() != '\n')
      fail("something follows that does not belong here: a string stands in quotes");
    else if (!rest_.empty())
      take();
  }

  void read_line() {
    if (auto c = peek(); c == '\n' || c == ';' || c == '#')
      return;
    else if (c == '[')
      read_group();
    else
      read_entry();
  }

  std::string read_name() {
    std::string result;
    while (name_char(peek()))
      result.push_back(take());
    return result;
  }

  void read_group() {
    take();
    skip_blanks();
    group_ = read_name();
    skip_blanks();
    if (group_.empty() || peek() != ']')
      return fail("a group is a name in brackets, for example [memcache]");
    take();
  }

  void read_entry() {
    config_entry entry;
    entry.key = read_name();
    entry.group = group_;
    entry.line = line_;
    if (entry.key.empty())
      return fail("neither a [group] nor key = value");
    if (peek() == '.')
      return fail("write [" + entry.key + "] on a line of its own, and then key = value");
    skip_blanks();
    if (peek() == '{')
      return fail("a group is a name in brackets, not in front of braces: [" + entry.key + "]");
    if (peek() != '=')
      return fail(entry.key + ": a key is followed by = and a value");
    if (group_.empty())
      return fail(entry.key + ": stands in front of the first [group]");
    take();
    skip_blanks();
    auto name = group_ + "." + entry.key;
    if (auto [before, fresh] = lines_.emplace(name, line_); !fresh)
      return fail(name + ": given twice, first on line " + std::to_string(before->second));
    read_value(entry);
    entries_.push_back(std::move(entry));
  }

  void read_value(config_entry& entry) {
    auto name = entry.group + "." + entry.key;
    switch (peek()) {
    case '[': entry.written = config_entry::form::list; return read_list(entry);
    case '"': entry.written = config_entry::form::quoted; break;
    case '\'': entry.written = config_entry::form::atom; break;
    case '{': return fail(name + ": no option takes a value in braces");
    default: break;
    }
    entry.values.push_back(read_scalar());
    if (entry.written == config_entry::form::bare && entry.values.back().empty())
      fail(name + ": has no value; an empty one is written \"\"");
  }

  std::string read_scalar() {
    if (peek() == '"' || peek() == '\'')
      return read_quoted(take());
    std::string result;
    while (std::string_view{" \t\r\n;#,]\"'"}.find(peek()) == std::string_view::npos)
      result.push_back(take());
    return result;
  }

  std::string read_quoted(char quote) {
    std::string result;
    while (peek() != quote) {
      if (peek() == '\n') {
        fail(std::string{"the closing "} + quote + " is missing");
        return result;
      }
      auto c = take();
      if (c == '\\')
        c = read_escape();
      result.push_back(c);
    }
    take();
    return result;
  }

  char read_escape() {
    auto c = peek();
    if (c == '\n')
      return ' ';
    take();
    switch (c) {
    case 'n': return '\n';
    case 'r': return '\r';
    case 't': return '\t';
    case '"':
    case '\'':
    case '\\': return c;
    default: fail(std::string{"unknown escape sequence \\"} + c); return c;
    }
  }

  /// Lists may go over lines, with comments between them.
  void skip_to_item() {
    while (!error_ && !rest_.empty()) {
      skip_blanks();
      if (peek() != '\n' && peek() != ';' && peek() != '#')
        return;
      end_of_line();
    }
  }

  void read_list(config_entry& entry) {
    take();
    for (skip_to_item(); !error_ && !rest_.empty() && peek() != ']'; skip_to_item()) {
      entry.values.push_back(read_scalar());
      skip_to_item();
      if (peek() == ',')
        take();
      else if (peek() != ']' && !rest_.empty())
        return fail(entry.key + ": the values of a list stand between commas");
      else if (entry.values.back().empty())
        return fail(entry.key + ": an empty value in a list");
    }
    if (rest_.empty())
      fail(entry.key + ": the closing ] is missing");
    else if (!error_)
      take();
  }

  std::string_view rest_;
  size_t line_ = 1;
  std::string group_;
  std::vector<config_entry> entries_;
  /// Where each GROUP.KEY stands.
  std::unordered_map<std::string, size_t> lines_;
  caf::error error_;
};

} // namespace

caf::expected<std::vector<config_entry>> parse_config_file(std::string_view text) {
  return reader{text}.read_all();
}

} // namespace kai
