#pragma once

#include "test/sim/simulation.hpp"

namespace kai::test {

struct change_options {
  uint64_t seed = 1;
  /// Nodes also crash, lose their disks and each other meanwhile, one at a time.
  bool faults = false;
  /// Operations in all; 0: by seed.
  size_t operations = 0;
};

/// A cluster that grows, shrinks and changes its mind by seed while clients use it, and what must
/// hold of it: as in `simulate`, and, with faults, as in `simulate_faults` with one at a time. At
/// the end every change has come to its end, and nobody holds what is not his.
simulation_result simulate_changes(const change_options& options);

} // namespace kai::test
