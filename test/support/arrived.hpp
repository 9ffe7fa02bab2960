#pragma once

#include "protocol/topology_changes.hpp"

namespace kai {

/// `x` once everything that is on its way has arrived, as it would be after a while.
inline topology arrived(topology x) {
  std::vector<fill_report> reports(x.members.size());
  for (auto& report : reports) {
    report.alive = true;
    for (auto& move : x.moves)
      report.filled.emplace_back(move.partition, x.changed_at[move.partition]);
  }
  auto next = with_filled(x, reports);
  return next ? *next : x;
}

} // namespace kai
