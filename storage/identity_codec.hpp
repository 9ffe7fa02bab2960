#pragma once

#include <string>
#include <string_view>

#include <caf/expected.hpp>

#include "storage/directory.hpp"

namespace kai {

/// The version of everything in a directory. A newer one is refused.
inline constexpr uint64_t directory_format = 4;

/// Text, for people to read:
///
///     kai-directory 4
///     node 00f3a9c1d2e4b567
///     name 127.0.0.1:11011
///     vnodes 2
///     checksum 8d3f...            XXH3 of everything above
///
/// Up to format 3 a version that kept its value had the dot of that (see decode_record); it is
/// still read. Formats 1 and 2 have a line `cluster` after the name, which nobody ever went by;
/// format 1 has a line `emptying 0` before the checksum.
std::string to_text(const directory_identity& x);

/// errc::incompatible for a newer version's, errc::damaged for what is no identity.
caf::expected<directory_identity> identity_from_text(std::string_view text);

} // namespace kai
