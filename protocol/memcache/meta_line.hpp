#pragma once

#include <string_view>

#include "protocol/memcache/text_line.hpp"

namespace kai::memcache {

/// Whether `word` is the verb of a meta command: mn mg ms md ma me.
bool is_meta_verb(std::string_view word);

/// Reads the rest of a meta command's line behind its verb into `into`, which is clear. As
/// interpret_line; an error of `ms` whose data length is known is `line_kind::swallow`.
line_meaning interpret_meta(std::string_view word, std::string_view rest, command& into);

} // namespace kai::memcache
