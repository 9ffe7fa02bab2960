#pragma once

#include <condition_variable>
#include <mutex>
#include <optional>
#include <thread>

#include "actors/node.hpp"
#include "apps/system_config.hpp"

namespace kai {

/// A node, the actor system it lives in, and the thread that makes and destroys both: CAF wants
/// that to be the same one. Starts at once; the destructor stops it in order.
class hosted_node {
public:
  hosted_node(node_options options, const caf_settings& caf,
              node_environment environment = real_environment());
  ~hosted_node();

  hosted_node(const hosted_node&) = delete;
  hosted_node& operator=(const hosted_node&) = delete;

  /// What starting came to; nullopt: it goes on.
  std::optional<caf::expected<node::endpoints>> outcome();
  /// Where other nodes reach it; empty: not known yet.
  std::string cluster_address();
  /// The node is no member of its cluster any more, for it left or was removed.
  bool left();
  void reload();
  /// The end will be like a crash: what runs is not finished, and nothing is flushed.
  void abandon();

private:
  void live_or_fail();
  void live();

  const node_options options_;
  const caf_settings caf_;
  const node_environment environment_;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool stopping_ = false;
  bool abandoned_ = false;
  /// Null before and after its life.
  node* node_ = nullptr;
  std::optional<caf::expected<node::endpoints>> outcome_;
  std::thread thread_;
};

} // namespace kai
