#pragma once

#include <string>
#include <unordered_map>

#include "actors/cluster_view.hpp"

namespace kai {

/// Where answers to calls of other nodes leave: with what this node has to ask the same node, in
/// one message at the end of the turn. Each message between nodes costs about as much as the calls
/// in it. On the loop's thread only.
class reply_routes {
public:
  struct route {
    std::string member;
    node_id id = 0;
    /// Held, so that its address stays its own.
    caf::actor_addr asker;
    /// Null while that is no member.
    outbox_ptr box;
    peer_actor peer;
  };

  /// `asker` calls in the name of a member, as its hello says. `view` may be null.
  void add(const caf::strong_actor_ptr& asker, const hello& words, const view_ptr& view);

  /// The peers of this view are those to reach the members through.
  void use(const cluster_view& view);

  /// Null: to be answered by a message of its own.
  const route* find(const caf::strong_actor_ptr& asker) const;

private:
  static void set(route& x, const cluster_view& view);

  std::unordered_map<const caf::actor_control_block*, route> routes_;
};

} // namespace kai
