#include "protocol/memcache/credentials.hpp"

#include "protocol/errc.hpp"

namespace kai::memcache {

namespace {

bool equal_in_constant_time(std::string_view given, std::string_view expected) {
  unsigned difference = given.size() == expected.size() ? 0 : 1;
  for (size_t i = 0; i < given.size(); ++i)
    difference |= static_cast<unsigned char>(given[i]) ^
                  static_cast<unsigned char>(expected.empty() ? 0 : expected[i % expected.size()]);
  return difference == 0;
}

} // namespace

caf::expected<credentials> credentials::parse(std::string_view text) {
  credentials result;
  for (size_t number = 1; !text.empty(); ++number) {
    auto end = text.find('\n');
    auto line = text.substr(0, end);
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    if (!line.empty() && line.back() == '\r')
      line.remove_suffix(1);
    if (line.empty())
      continue;
    auto colon = line.find(':');
    if (colon == std::string_view::npos || colon == 0)
      return failure(errc::bad_configuration,
                     "line " + std::to_string(number) + " is not user:password");
    result.users_.emplace(line.substr(0, colon), line.substr(colon + 1));
  }
  if (result.users_.empty())
    return failure(errc::bad_configuration, "it names no user, so nobody could use this node");
  return result;
}

bool credentials::accept(std::string_view user, std::string_view password) const {
  auto i = users_.find(user);
  auto known = i != users_.end();
  auto matches = equal_in_constant_time(password, known ? std::string_view{i->second}
                                                        : std::string_view{"no such user"});
  return known && matches;
}

bool credentials::accept_plain(std::string_view message) const {
  auto first = message.find('\0');
  auto second = first == std::string_view::npos ? first : message.find('\0', first + 1);
  if (second == std::string_view::npos)
    return false;
  auto user = message.substr(first + 1, second - first - 1);
  auto password = message.substr(second + 1);
  return accept(user, password) || accept(user.substr(0, user.rfind('@')), password);
}

bool credentials::accept_text(std::string_view block) const {
  auto space = block.find(' ');
  return space != std::string_view::npos && accept(block.substr(0, space), block.substr(space + 1));
}

} // namespace kai::memcache
