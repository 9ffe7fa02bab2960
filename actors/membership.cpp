#include "actors/membership.hpp"

#include <algorithm>

#include "actors/on_loop.hpp"
#include "actors/peer.hpp"
#include "protocol/limits.hpp"

namespace kai {

namespace {

using pointer = membership_actor::stateful_pointer<membership_state>;

/// Tells everybody on this node who owns what and who is alive.
void publish(pointer self) {
  auto& st = self->state;
  auto& own_name = st.loop->context().name;
  auto own = st.current.find(own_name);
  if (!own)
    return;
  auto view = std::make_shared<cluster_view>(
      st.current, static_cast<member_index>(own - st.current.members.data()));
  for (size_t i = 0; i < st.current.members.size(); ++i) {
    auto& peer = st.peers[st.current.members[i].name];
    view->peers.push_back(peer.handle);
    view->outboxes.push_back(peer.box);
    view->alive[i] = peer.up;
    view->unsure[i] = !peer.up && !peer.confirmed;
  }
  st.view = std::move(view);
  self->send(st.gateway, st.view);
  self->send(st.topology_keeper, st.view);
  self->send(st.admin, st.view);
  for (auto& x : st.listeners)
    self->send(x, st.view);
}

void start_peer(pointer self, const member& x) {
  auto& st = self->state;
  auto own = x.name == st.loop->context().name;
  auto& entry = st.peers[x.name];
  entry.address = x.cluster_address;
  entry.up = own;
  entry.box = std::make_shared<outbox>();
  entry.handle = spawn_on_loop<peer_actor>(self->system(), peer, st.loop, x.name, x.cluster_address,
                                           own ? gateway_actor{st.gateway} : gateway_actor{},
                                           own ? dialer_actor{} : st.dialer, membership_actor{self},
                                           st.topology_keeper, entry.box);
}

/// Calls may be on their way to it, and requests under the view before may make more: it stays
/// until they are over, for a call that finds nobody would never be answered.
void retire_peer(pointer self, membership_state::entry& x) {
  auto& retired = self->state.retired;
  auto gone = [](const caf::actor_addr& old) {
    return !caf::actor_cast<caf::strong_actor_ptr>(old);
  };
  retired.erase(std::remove_if(retired.begin(), retired.end(), gone), retired.end());
  retired.push_back(x.handle.address());
  self->send(x.handle, stop_atom::value);
}

void on_topology(pointer self, topology& decided) {
  auto& st = self->state;
  st.current = std::move(decided);
  for (auto i = st.peers.begin(); i != st.peers.end();) {
    auto member = st.current.find(i->first);
    // This node's own peer has no use for an address.
    auto own = i->first == st.loop->context().name;
    if (member && (own || member->cluster_address == i->second.address)) {
      ++i;
      continue;
    }
    retire_peer(self, i->second);
    i = st.peers.erase(i);
  }
  for (auto& x : st.current.members)
    if (st.peers.count(x.name) == 0)
      start_peer(self, x);
  publish(self);
}

/// Asks the next members that are alive whether they reach `name`, and tells its peer what they
/// say.
void ask_witnesses(pointer self, const std::string& name) {
  auto& st = self->state;
  auto entry = st.peers.find(name);
  if (!st.view || entry == st.peers.end())
    return;
  auto& members = st.view->topo.members;
  auto about = static_cast<size_t>(st.current.find(name) - st.current.members.data());
  std::vector<std::pair<member_index, call>> calls;
  for (size_t i = 1; i < members.size() && calls.size() < limits::witnesses_max; ++i) {
    auto who = static_cast<member_index>((about + i) % members.size());
    if (who == st.view->self || !st.view->alive[who])
      continue;
    calls.emplace_back(who, call{});
    calls.back().second.what = service_call{"admin", "reach " + name};
  }
  auto each = [self, peer = entry->second.handle](size_t, answer& x) {
    if (auto text = std::get_if<text_answer>(&x.what))
      self->send(peer, witness_atom::value, text->text == "yes");
  };
  st.surveys.ask(self, st.view.get(), std::move(calls), each, [] {});
}

} // namespace

membership_actor::behavior_type membership(pointer self, io_loop_ptr loop,
                                           local_gateway_actor gateway, dialer_actor dialer) {
  auto& st = self->state;
  st.loop = std::move(loop);
  st.gateway = std::move(gateway);
  st.dialer = std::move(dialer);
  self->set_exit_handler([self](caf::exit_msg& x) {
    for (auto& [name, entry] : self->state.peers)
      self->send_exit(entry.handle, caf::exit_reason::user_shutdown);
    for (auto& old : self->state.retired)
      self->send_exit(old, caf::exit_reason::user_shutdown);
    self->quit(std::move(x.reason));
  });
  return {
      [self](start_atom, const topology_actor& topology, const admin_actor& admin) {
        self->state.topology_keeper = topology;
        self->state.admin = admin;
      },
      [self](start_atom, const view_sink& listener) {
        self->state.listeners.push_back(listener);
        if (self->state.view)
          self->send(listener, self->state.view);
      },
      [self](topology& decided) { on_topology(self, decided); },
      [self](const peer_status& x) {
        auto i = self->state.peers.find(x.name);
        if (i == self->state.peers.end() ||
            (i->second.up == x.up && i->second.confirmed == x.confirmed))
          return;
        i->second.up = x.up;
        i->second.confirmed = x.confirmed;
        publish(self);
      },
      [self](suspect_atom, const std::string& name) { ask_witnesses(self, name); },
      [self](answer_list& xs) { self->state.surveys.on_answers(xs); },
  };
}

} // namespace kai
