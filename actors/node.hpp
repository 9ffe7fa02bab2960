#pragma once

#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>

#include <caf/actor.hpp>
#include <caf/expected.hpp>

#include "actors/admin_http.hpp"
#include "actors/node_core.hpp"

namespace kai {

/// Why a node can not listen where `group`.address and `group`.port say; `err`: CAF's word.
caf::error cannot_listen(const std::string& group, const std::string& address, uint16_t port,
                         const caf::error& err);

/// One node: its actors, its sockets, its life. The actor system is the caller's, and one node's
/// alone.
class node {
public:
  struct endpoints {
    std::string name;
    /// HOST:PORT, as bound; admin "-" when off.
    std::string memcache;
    std::string cluster;
    std::string admin;
  };

  node(caf::actor_system& sys, node_options options,
       node_environment environment = real_environment());
  ~node();

  /// Binds everything, founds a cluster, joins one or comes back to it. Blocks until the node is a
  /// member and serves clients, or until `interrupt`. Errors name the option.
  caf::expected<endpoints> start();

  /// Ends in order: no new connections, running requests finish, storage is flushed. Within 5 s.
  /// Idempotent. To be called from the thread that made the actor system: each thread that talks to
  /// one keeps its logger alive, for whose end the system's destructor waits.
  void stop();

  /// Makes a `start` that blocks in another thread return, and the next one fail.
  void interrupt();

  /// Where other nodes reach it, HOST:PORT; empty before it is bound. From any thread.
  std::string cluster_address();

  /// Reads memcache.auth-file again. Unusable: the old one stays, and the log says why.
  void reload();

  /// The node is no member of its cluster any more, for it left or was removed.
  bool left() const { return core_.context->left; }

  node_core& core() { return core_; }

private:
  caf::error bind();
  caf::error listen_for_clients();
  caf::error load_credentials();
  caf::error join();
  void await_peers();
  caf::error start_http();
  caf::expected<std::string> http_content(const std::string& command);
  node_core core_;
  caf::actor acceptor_;
  std::unique_ptr<admin_http> http_;
  endpoints endpoints_;
  uint16_t cluster_port_ = 0;

  std::mutex mutex_;
  std::condition_variable changed_;
  bool bound_ = false;
  bool stopping_ = false;
  bool stopped_ = false;
  bool serving_ = false;
};

} // namespace kai
