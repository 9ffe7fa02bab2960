#pragma once

#include "test/sim/simulation.hpp"

namespace kai::test {

/// How much may go wrong at the same time.
enum class fault_mode : uint8_t {
  /// One node at a time, and the next one when the cluster has recovered: then every promise holds,
  /// each key's operations in one order among them.
  one,
  /// Nodes, pairs of nodes and halves of the cluster, as they come: then nothing acknowledged is
  /// lost, nothing comes back from the dead, and everything is equal when the faults have ended.
  many,
};

struct fault_options {
  uint64_t seed = 1;
  fault_mode mode = fault_mode::one;
  /// Operations in all; 0: by seed.
  size_t operations = 0;
};

/// A cluster of five with faults by seed, a random history, and what must hold of it.
simulation_result simulate_faults(const fault_options& options);

} // namespace kai::test
