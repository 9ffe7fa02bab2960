#pragma once

#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include <caf/actor_system.hpp>
#include <caf/actor_system_config.hpp>

#include "actors/dialer.hpp"
#include "actors/io_loop.hpp"
#include "actors/shared_port.hpp"
#include "storage/directory.hpp"

namespace leveldb {
class Env;
}

namespace kai {

/// Registers the messages that cross the wire; to be called by the configuration of every actor
/// system that talks to nodes. Their names are the contract between versions.
void add_messages(caf::actor_system_config& config);

/// What a node takes from outside, so that a whole cluster can run on virtual time by seed.
struct node_environment {
  /// Microseconds since 1970.
  std::function<timestamp()> wall_clock;
  /// For ids, ballots and waits.
  uint64_t seed = 0;
  /// null: CAF's network.
  dialer_actor dialer;
  /// null: the machine's files.
  leveldb::Env* env = nullptr;
  /// Where a node without a directory keeps its topology and its votes, by name; null: they end
  /// with the node.
  std::shared_ptr<std::map<std::string, std::string>> files;
  /// Called by the LevelDB engine after each operation (see leveldb_engine_options).
  std::function<void()> settle;
  /// LevelDB vnodes get threads of their own.
  bool threads = true;
  /// Databases of a new directory, each with a thread and a write buffer.
  uint32_t vnodes = 1;
  /// Nothing: a port for clients of the node's own, as its options say.
  std::optional<port_share> clients;
  /// Nodes of the same process, each in an actor system of its own; null: there are none.
  std::shared_ptr<kai::neighbours> neighbours;
};

/// The machine's clock, randomness and files.
node_environment real_environment();

/// A node's directory until the node ends. Actors that keep small files in it end later than it is
/// given up, and then find it closed.
struct open_directory {
  std::mutex mutex;
  std::unique_ptr<node_directory> files;
};

/// Counts the vnodes that have threads of their own and have not ended yet.
///
/// CAF's broker between nodes watches every actor that other nodes know, and their last words to it
/// keep them alive: when it ends first it may never drop those (CAF 0.17.6), and an actor system
/// waits for the end of each detached actor, for ever then. So the vnodes end before the system
/// does.
struct departures {
  std::mutex mutex;
  std::condition_variable changed;
  size_t awaited = 0;
};

/// All actors of one node but those that listen on sockets. Whoever makes one also ends it.
class node_core {
public:
  /// Spawns the gateway alone: it can be published, and refuses everything until `open`.
  node_core(caf::actor_system& sys, node_options options, node_environment environment);
  ~node_core();
  node_core(const node_core&) = delete;
  node_core& operator=(const node_core&) = delete;

  /// Opens the storage and spawns the rest. `name`: node.name; addresses HOST:PORT as bound. Errors
  /// name the option.
  caf::error open(std::string name, std::string memcache_address, std::string cluster_address);

  /// No connection is begun any more, and each that was is in the mailbox of CAF's broker between
  /// nodes when this returns: what that answers next comes after them. A broker that ends before it
  /// has read such a request keeps its sender alive, CAF's detached middleman actor, and the actor
  /// system waits for that one for ever (CAF 0.17.6). Idempotent.
  void stop_dialing();

  /// Ends all actors, after the vnodes have written everything. Idempotent.
  void close();
  /// The same without waiting for anything, as a crash would: for simulations.
  void kill();

  caf::actor_system& system;
  node_environment environment;
  context_ptr context;
  io_loop_ptr loop;
  local_gateway_actor gateway;
  std::vector<vnode_actor> vnodes;
  dialer_actor dialer;
  /// Null without neighbours.
  dialer_actor dialer_of_peers;
  membership_actor membership;
  topology_actor topology;
  admin_actor admin;
  hints_actor hints;
  handoff_actor handoff;
  sync_actor sync;
  stats_actor stats;

private:
  caf::error open_storage();
  caf::error add_vnode(uint32_t index);
  caf::error read_last_use();
  void end_actors();
  void await_vnodes();

  /// Null over a memory engine.
  std::shared_ptr<open_directory> directory_;
  std::shared_ptr<departures> departures_ = std::make_shared<departures>();
  uint64_t random_state_ = 0;
  bool open_ = false;
};

} // namespace kai
