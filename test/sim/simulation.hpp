#pragma once

#include <string>

#include "test/sim/workload.hpp"
#include "test/support/linearizability.hpp"

namespace kai::test {

/// What one simulation is made from. The seed decides everything that is not given here, the size
/// of the cluster and its quorums among it.
struct simulation_options {
  uint64_t seed = 1;
  /// Operations in all, and clients; 0: by seed.
  size_t operations = 0;
  size_t clients = 0;
  engine_kind engine = engine_kind::memory;
  /// flush_all while the clients are busy, too: what that promises less is told as a problem.
  bool flush_under_load = false;
};

struct simulation_result {
  /// Empty: everything held.
  std::string problem;
  /// What the seed made of the cluster and its clients.
  std::string setting;
  /// Equal for equal options.
  uint64_t trace = 0;
  size_t operations = 0;
  /// Conditional writes that were answered "contended".
  size_t gave_way = 0;
  /// Keys whose history had too many possible orders to be judged.
  size_t undecided = 0;
  uint64_t steps = 0;
  uint64_t messages = 0;
  caf::timespan elapsed{0};
  caf::timespan slowest{0};
};

/// A cluster without faults, a random history, and what must hold of it: every request answered
/// within 2 s and none failed but for conditional writes under contention, each key's answers
/// explained by one order of its operations, and equal replicas at the end.
simulation_result simulate(const simulation_options& options);

/// Whether the replicas of every key hold the same, and nobody else holds anything. Asks every
/// vnode. Empty, or what differs.
std::string compare_replicas(sim_cluster& cluster, const std::vector<std::string>& keys);

// --- what the kinds of simulation share

/// The one failure there may be without a fault: a conditional write that found the key changed
/// each time it had read it, until its time was over. It says that it changed nothing.
bool gave_way(const operation& x);

/// Empty, or that a request was answered late or twice.
std::string check_answers(const workload& load);
/// Empty, or that no order of the operations explains the key's answers. Counts in `undecided`.
std::string check_order(const std::string& key, const key_history& history, faults some,
                        size_t& undecided);

/// Fills in what a run counted, but for its problem and setting.
void count(simulation_result& result, sim_cluster& cluster, const workload& load);

} // namespace kai::test
