#pragma once

#include <map>
#include <string>
#include <vector>

#include "test/support/history.hpp"
#include "test/support/sim_cluster.hpp"

namespace kai::test {

/// What has to hold at every moment while members come and go:
///
/// * no two nodes know different topologies of one epoch;
/// * of the replicas in force of a key, by the newest topology, W hold each write of it that was
///   acknowledged. Those that are down, or cut off, and do not have it are not counted on (hints
///   take their place), and one less for each disk that was lost since the last rest.
///
/// Looks into the nodes' engines, which is too slow to do after each step: it is done after every
/// acknowledgement, every new epoch of any node, and every 50 steps.
class invariants {
public:
  explicit invariants(sim_cluster& cluster) : cluster_(cluster), nodes_(cluster.size()) {}

  /// After a step.
  void look();
  /// A client was told that its write took effect.
  void acknowledged(const std::string& key, const operation& x);
  /// Whether the node can not be reached although it is up.
  void cut_off(size_t node, bool is) { nodes_[node].cut_off = is; }
  /// The node is about to crash; what it has of `keys` will be on its disk.
  void crashes(size_t node, const std::vector<std::string>& keys);
  /// The node has an empty disk now. `lost`: it held a member's data.
  void emptied(size_t node, bool lost);
  /// Every replica has everything again.
  void rested() { disks_lost_ = 0; }

  /// What did not hold, one line each; empty: nothing.
  const std::string& problem() const { return problem_; }
  size_t checks() const { return checks_; }

private:
  struct node_state {
    uint64_t epoch = 0;
    bool cut_off = false;
    /// What it had when it was last looked at: that of one that is down is on its disk.
    std::map<std::string, record> has;
  };

  bool note_epochs();
  void note_record(size_t node, const std::string& key);
  void note_records(const std::string& key);
  void check(const std::string& key, const dot& written);
  void check_all();

  sim_cluster& cluster_;
  std::vector<node_state> nodes_;
  /// By epoch, encoded.
  std::map<uint64_t, std::string> decided_;
  topology newest_;
  std::map<std::string, std::vector<dot>> acknowledged_;
  size_t steps_ = 0;
  size_t checks_ = 0;
  size_t disks_lost_ = 0;
  std::string problem_;
};

} // namespace kai::test
