#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "apps/hosted_node.hpp"

namespace kai {

/// A cluster of real nodes in this process: an actor system, a thread and a data directory each,
/// CAF's network between them on loopback and free ports. For what the simulation leaves out:
/// sockets, CAF's remoting, threads. Failed starts throw, so that a test case ends.
class real_cluster {
public:
  /// Starts so many nodes, n0, n1, ...; all are ready when it returns. `base`: what they have in
  /// common.
  explicit real_cluster(size_t nodes, node_options base = {});
  ~real_cluster();

  real_cluster(const real_cluster&) = delete;
  real_cluster& operator=(const real_cluster&) = delete;

  size_t size() const { return members_.size(); }
  const node::endpoints& endpoints(size_t index) const { return members_[index].endpoints; }
  bool running(size_t index) const { return members_[index].node != nullptr; }

  /// Ends a node in order.
  void stop(size_t index);
  /// Ends it without finishing or flushing anything.
  void kill(size_t index);
  /// Starts an ended one on its directory, on other ports than before.
  void start(size_t index);

private:
  struct member {
    std::unique_ptr<hosted_node> node;
    node::endpoints endpoints;
  };

  node_options base_;
  std::filesystem::path directory_;
  std::vector<member> members_;
};

/// A blocking memcache client. A server that is silent for 10 s, or gone, throws.
class memcache_client {
public:
  /// HOST:PORT with a numeric host.
  explicit memcache_client(const std::string& address);
  ~memcache_client();

  memcache_client(const memcache_client&) = delete;
  memcache_client& operator=(const memcache_client&) = delete;

  /// Sends bytes and reads up to and with the first line that is `last`, or one line where that is
  /// empty. Lines without their ends, joined by '|'.
  std::string ask(std::string_view bytes, std::string_view last = {});

  std::string set(const std::string& key, const std::string& value);
  /// "VALUE ...|value|END", or what came instead of it in one line.
  std::string get(const std::string& key);

private:
  std::string read_line();

  int socket_ = -1;
  std::string received_;
};

} // namespace kai
