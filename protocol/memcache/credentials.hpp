#pragma once

#include <map>
#include <string>
#include <string_view>

#include <caf/expected.hpp>

namespace kai::memcache {

/// Who may use a node (memcache.auth-file). Immutable; a new file is a new value.
class credentials {
public:
  /// Reads `user:password` lines; empty ones are passed over. An error names the line.
  static caf::expected<credentials> parse(std::string_view text);

  /// Takes as long whether the user or the password is wrong, and wherever it differs.
  bool accept(std::string_view user, std::string_view password) const;

  /// memcached's ASCII scheme: the data block of a `set` is "user password".
  bool accept_text(std::string_view block) const;

  /// SASL PLAIN (RFC 4616): "authorization NUL user NUL password". Clients append "@realm" to the
  /// user, which counts only where the file has it.
  bool accept_plain(std::string_view message) const;

private:
  std::map<std::string, std::string, std::less<>> users_;
};

} // namespace kai::memcache
