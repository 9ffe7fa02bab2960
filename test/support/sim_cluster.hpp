#pragma once

#include <functional>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include <caf/actor_system.hpp>
#include <caf/actor_system_config.hpp>
#include <caf/scheduler/test_coordinator.hpp>

#include "actors/node_core.hpp"
#include "test/support/memory_env.hpp"
#include "test/support/sim_network.hpp"

namespace kai::test {

struct sim_options {
  uint64_t seed = 1;
  size_t nodes = 5;
  /// How many of them are members from the start; 0: all. The others are not started.
  size_t founders = 0;
  /// What every node is started with; name, addresses and seeds are filled in.
  node_options node = small_node();
  sim_delays delays;
  /// How far a node's wall clock may be off at first, and how much faster or slower it may run, in
  /// millionths.
  caf::timespan clock_offset_max = std::chrono::milliseconds{3};
  uint32_t clock_drift_max_ppm = 100;
  /// LevelDB databases of a node.
  uint32_t vnodes = 2;

  /// 16 partitions, in memory: what makes a simulation quick.
  static node_options small_node();
};

/// N nodes in one thread, on virtual time: which actor runs next, what the network does and what
/// the clocks say follows from the seed, and so does everything else. Nodes have disks in memory of
/// their own where they use LevelDB.
///
/// Nothing runs by itself: call run_until or run_for. Clients take a coordinator from a node's
/// io_loop, as connections do.
class sim_cluster {
public:
  /// All nodes are members and connected, as if restarted on their data: the quick way.
  static std::unique_ptr<sim_cluster> founded(sim_options options);
  /// The first founds the cluster, the others join through it, one after another.
  static std::unique_ptr<sim_cluster> joined(sim_options options);

  ~sim_cluster();
  sim_cluster(const sim_cluster&) = delete;
  sim_cluster& operator=(const sim_cluster&) = delete;

  caf::actor_system& system() { return *system_; }
  sim_network& network() { return *network_; }
  size_t size() const { return nodes_.size(); }
  bool is_up(size_t i) const { return nodes_[i].core != nullptr; }
  /// It is up and a member, as far as it knows, and has seen those that are up as well: before that
  /// no node prints its ready line.
  bool serves(size_t i);
  /// Must be up.
  node_core& node(size_t i) { return *nodes_[i].core; }
  memory_env& disk(size_t i) { return *nodes_[i].disk; }
  /// The index of the node with this name.
  size_t index_of(const std::string& name) const;

  /// Since the start.
  caf::timespan elapsed() const;
  /// Random numbers for whoever drives the cluster.
  std::mt19937_64& random() { return random_; }

  /// Lets one actor take one message, or time pass until something is due.
  void step();
  /// Until `done` holds; false: it did not within `limit` of virtual time.
  bool run_until(const std::function<bool()>& done, caf::timespan limit);
  void run_for(caf::timespan time);
  /// Until no actor has anything to do at this moment.
  void run_idle();

  /// Every live node is a member and sees every other live one that it is not cut off from.
  bool connected();
  /// The same, and every live node's answers count towards R.
  bool caught_up();

  void cut(size_t a, size_t b);
  void heal(size_t a, size_t b);
  /// The machine goes: connections close, what was not synced is lost; or, torn, a random part of
  /// it remains.
  void crash(size_t i, bool torn = false);
  /// Takes the disk out of a machine that has crashed, and puts an empty one in.
  void wipe(size_t i);
  /// The node comes back: with its disk over LevelDB, else empty, and joins through the others.
  void restart(size_t i);

  /// Somebody sets the node's wall clock.
  void step_clock(size_t i, std::chrono::microseconds by) { nodes_[i].clock_offset += by.count(); }

  /// The node is no member any more, and its process has ended.
  void retire(size_t i);

  /// Hash of everything that happened: equal for equal runs.
  uint64_t trace() const;
  uint64_t steps() const { return steps_; }

private:
  struct machine {
    std::string name;
    std::string memcache_address;
    std::string cluster_address;
    /// Of the next start.
    uint64_t seed = 0;
    int64_t clock_offset = 0;
    int64_t clock_drift_ppm = 0;
    std::unique_ptr<memory_env> disk;
    std::shared_ptr<std::map<std::string, std::string>> files;
    std::unique_ptr<node_core> core;
    /// It has seen the others since it started.
    bool ready = false;
  };
  struct config : caf::actor_system_config {
    config();
  };

  explicit sim_cluster(sim_options options);

  void start(size_t i, std::vector<std::string> seeds);
  size_t founders() const { return options_.founders ? options_.founders : nodes_.size(); }
  void write_topology();
  timestamp wall_clock(size_t i) const;
  caf::resumable* next_job();
  bool advance();
  void mix(uint64_t x) { trace_ = (trace_ ^ x) * 0x9e3779b97f4a7c15 + 1; }

  sim_options options_;
  std::mt19937_64 random_;
  std::mt19937_64 schedule_;
  /// How many in 256 choices are random, not in order of arrival; and how many in 1024 steps let
  /// time pass although actors have work: both are a matter of the seed.
  uint32_t shuffled_ = 256;
  uint32_t rushed_ = 0;
  config config_;
  std::unique_ptr<caf::actor_system> system_;
  caf::scheduler::test_coordinator* scheduler_ = nullptr;
  std::unique_ptr<sim_network> network_;
  std::vector<machine> nodes_;
  caf::actor_clock::time_point began_;
  uint64_t steps_ = 0;
  uint64_t trace_ = 0;
};

} // namespace kai::test
