#include "actors/reply_routes.hpp"

#include "protocol/limits.hpp"

namespace kai {

void reply_routes::add(const caf::strong_actor_ptr& asker, const hello& words,
                       const view_ptr& view) {
  std::erase_if(routes_,
                [](auto& x) { return !caf::actor_cast<caf::strong_actor_ptr>(x.second.asker); });
  if (!asker || routes_.size() >= 2 * limits::members_max)
    return;
  auto& x = routes_[asker.get()];
  x = {words.name, words.id, caf::actor_cast<caf::actor_addr>(asker), nullptr, {}};
  if (view)
    set(x, *view);
}

void reply_routes::use(const cluster_view& view) {
  for (auto& [asker, x] : routes_)
    set(x, view);
}

const reply_routes::route* reply_routes::find(const caf::strong_actor_ptr& asker) const {
  auto i = routes_.find(asker.get());
  return i != routes_.end() && i->second.box ? &i->second : nullptr;
}

void reply_routes::set(route& x, const cluster_view& view) {
  x.box = nullptr;
  x.peer = peer_actor{};
  auto member = view.topo.find(x.member);
  if (!member || member->id != x.id)
    return;
  auto index = static_cast<size_t>(member - view.topo.members.data());
  if (index == view.self)
    return;
  x.box = view.outboxes[index];
  x.peer = view.peers[index];
}

} // namespace kai
