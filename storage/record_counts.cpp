#include "storage/record_counts.hpp"

#include "protocol/wire.hpp"
#include "storage/seal.hpp"

namespace kai {

void record_counts::fill(engine_stats& stats) const {
  stats.keys = keys_;
  stats.tombstones = tombstones_;
  stats.bytes = bytes_;
  stats.exact = exact_;
}

std::string record_counts::encoded() const {
  std::string result;
  byte_writer out{result};
  for (auto x : {keys_, tombstones_, bytes_})
    out.u64(x);
  return sealed("counts", result);
}

std::optional<record_counts> record_counts::decoded(std::string_view bytes) {
  auto value = unsealed("counts", bytes);
  if (!value)
    return std::nullopt;
  byte_reader in{*value};
  record_counts result;
  for (auto* x : {&result.keys_, &result.tombstones_, &result.bytes_})
    *x = in.u64();
  return in.done() ? std::optional{result} : std::nullopt;
}

} // namespace kai
