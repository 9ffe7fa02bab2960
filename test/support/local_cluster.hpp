#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "actors/node_core.hpp"
#include "test/support/virtual_time.hpp"

namespace kai {

/// Whole nodes, but for their sockets, in one actor system on virtual time. What a node sends to
/// another passes a gate that a test can close.
class local_cluster : public virtual_time {
public:
  /// Whether a batch for the node is swallowed; may change it.
  using gate = std::function<bool(call_batch&)>;

  struct node {
    std::unique_ptr<node_core> core;
    bool alive = true;
    /// Null: nobody reaches it.
    caf::actor gateway;
    gate swallow;
    std::vector<response> responses;
  };

  /// Nodes "n0", "n1", ...; all of them members when it returns.
  explicit local_cluster(size_t nodes, cluster_settings settings = {3, 2, 2, 8});
  ~local_cluster();

  node& at(size_t i) { return *nodes_[i]; }
  node_core& core(size_t i) { return *nodes_[i]->core; }
  size_t size() const { return nodes_.size(); }

  /// A node that is not started: it has no topology yet.
  node_core& add_node(std::vector<std::string> seeds);
  /// Answered when it is a member.
  caf::expected<bool> start(size_t i, caf::timespan within = std::chrono::seconds{3});
  /// As a crash.
  void kill(size_t i);
  /// The connections of the others to node `i` close, and none can be opened until `connect`; it
  /// still reaches them.
  void disconnect(size_t i);
  void connect(size_t i);

  /// Runs requests of a client at node `i`, for at most 2.5 s; responses by tag.
  std::map<uint64_t, response> serve(size_t i, std::vector<request> requests);
  response serve_one(size_t i, request x);

  /// What the node itself has of the key.
  record held_by(size_t i, const std::string& key);
  /// The node stores it as if another had sent it.
  void give(size_t i, const std::string& key, const record& value);

  partition_id partition(const std::string& key) const;
  /// Indices of nodes in the key's order of preference, as node 0 knows it.
  std::vector<size_t> replicas(const std::string& key);
  /// A key that node `i` leads.
  std::string key_led_by(size_t i);

  static request read(const std::string& key, uint64_t tag = 1);
  static request write(mutation_kind kind, const std::string& key, const std::string& value = {},
                       uint64_t tag = 1);

private:
  answer_batch ask_vnode(size_t i, const std::string& key, call x);

  cluster_settings settings_;
  std::vector<std::unique_ptr<node>> nodes_;
  dialer_actor dialer_;
};

} // namespace kai
