#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "protocol/errc.hpp"
#include "protocol/mutation.hpp"

/// What clients did and saw, key by key: what linearizability.hpp judges.
namespace kai::test {

/// What a read showed.
struct sighting {
  std::string value;
  uint32_t flags = 0;
  uint64_t cas = 0;

  friend bool operator==(const sighting&, const sighting&) = default;
};

/// One operation of one client on one key. Times are positions in the order of everything that all
/// clients sent and got.
struct operation {
  enum class kind : uint8_t { read, write, flush };
  /// How it ended: `unknown` may have taken effect at any time after it was sent, or never.
  enum class ending : uint8_t { answered, unknown, refused };

  static constexpr uint64_t never = UINT64_MAX;

  uint32_t client = 0;
  /// The node it was sent to.
  uint32_t node = 0;
  kind what = kind::read;
  /// For a write.
  mutation change;
  uint64_t sent = 0;
  uint64_t answered = never;
  ending end = ending::unknown;
  /// Of a read; nullopt: a miss.
  std::optional<sighting> seen;
  /// Of a write.
  outcome result;
  /// Of one that failed: why, and what was said.
  errc reason = errc::quorum_failed;
  std::string failure;
};

using key_history = std::vector<operation>;

/// One line for people.
std::string to_string(const operation& x);

} // namespace kai::test
