#pragma once

#include <vector>

#include "protocol/limits.hpp"
#include "protocol/topology_changes.hpp"

namespace kai {

/// Whatever members there are.
inline const std::vector<bool> all_alive(limits::members_max, true);

/// What the members say when every one sees all others and, if `filled`, everything that is on its
/// way has arrived.
inline std::vector<fill_report> all_well(const topology& x, bool filled) {
  std::vector<fill_report> reports(x.members.size());
  for (auto& report : reports) {
    report.alive = true;
    report.epoch = x.epoch;
    for (size_t m = 0; m < x.members.size(); ++m)
      report.sees.push_back(static_cast<member_index>(m));
    for (auto& move : x.moves)
      if (filled)
        report.filled.emplace_back(move.partition, x.changed_at[move.partition]);
  }
  return reports;
}

/// `x` once everything that is under way has come to its end.
inline topology arrived(topology x) {
  while (auto next = with_filled(x, all_well(x, true)))
    x = std::move(*next);
  return x;
}

/// `x` once those who come have partitions on their way to them.
inline topology planned(const topology& x) { return *with_filled(x, all_well(x, false)); }

} // namespace kai
