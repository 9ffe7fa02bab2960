#include "storage/engine.hpp"

namespace kai {

footprint footprint_of(std::string_view key, const record& x) {
  auto* newest = latest(x);
  if (!newest)
    return {};
  if (newest->tombstone)
    return {footprint::state::tombstone, 0};
  uint64_t bytes = key.size();
  for (auto& v : x.versions)
    bytes += v.value.size();
  return {footprint::state::live, bytes};
}

} // namespace kai
