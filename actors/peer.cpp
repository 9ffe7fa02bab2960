// long: a connection with its calls, from dialing to its loss
#include "actors/peer.hpp"

#include <algorithm>
#include <iterator>

#include "actors/log.hpp"
#include "protocol/routing.hpp"

namespace kai {

namespace {

using pointer = peer_actor::stateful_pointer<peer_state>;

auto now(pointer self) { return self->home_system().clock().now(); }

/// Hands `x` to the group of the slot; `deliver` sends what was gathered.
void settle(peer_state& st, uint32_t index, answer x) {
  auto& s = st.slots[index];
  auto& g = st.groups[s.group];
  x.id = s.tag;
  if (g.ready.answers.empty()) {
    st.touched.push_back(s.group);
    g.ready.answers.reserve(g.open);
  }
  g.ready.answers.push_back(std::move(x));
  --g.open;
  st.open_bytes -= s.bytes;
  --st.open_calls;
  s.open = false;
  ++s.generation;
  st.free_slots.push_back(index);
}

void deliver(pointer self) {
  auto& st = self->state;
  for (auto index : st.touched) {
    auto& g = st.groups[index];
    self->send(caf::actor_cast<answer_sink>(g.sender), std::exchange(g.ready, {}));
    if (g.open == 0) {
      g.sender = nullptr;
      st.free_groups.push_back(index);
    }
  }
  st.touched.clear();
}

void settle_failure(peer_state& st, uint32_t index, errc reason) {
  ++st.loop->count.calls_failed;
  failed_answer failure{reason, !st.slots[index].sent, {}};
  settle(st, index, answer{0, std::move(failure)});
}

void lost(pointer self, const char* why) {
  auto& st = self->state;
  if (st.up) {
    st.loop->context().log.info("lost {} at {}: {}; {} calls failed", st.member_name, st.address,
                                why, st.open_calls);
    self->demonitor(st.remote.address());
    // Its successor speaks for the member now.
    st.confirmed = st.doubts.confirmed();
    if (!st.retired)
      self->send(st.membership, peer_status{st.member_name, false, st.confirmed});
  }
  st.down_since = now(self);
  st.up = false;
  st.remote = nullptr;
  st.pending.clear();
  for (uint32_t i = 0; i < st.slots.size(); ++i)
    if (st.slots[i].open)
      settle_failure(st, i, errc::peer_down);
  deliver(self);
}

void dial_later(pointer self) {
  auto& st = self->state;
  self->delayed_send(self, st.backoff, dial_atom::value);
  st.backoff = std::min<caf::timespan>(st.backoff * 2, limits::reconnect_max);
}

/// A connection that stood for a while is made anew at once: a node that was stopped finds them all
/// closed, and shall not stay alone. One that does not stand waits as one that can not be made.
void dial_again(pointer self) {
  if (now(self) - self->state.up_since >= limits::reconnect_max)
    self->send(self, dial_atom::value);
  else
    dial_later(self);
}

hello own_hello(io_loop& loop) {
  auto& context = loop.context();
  hello x;
  x.protocol = protocol_version;
  x.name = context.name;
  x.id = context.id;
  x.incarnation = context.incarnation;
  x.header.clock = context.now();
  if (loop.view) {
    x.cluster_id = loop.view->topo.cluster_id;
    x.header.epoch = loop.view->topo.epoch;
  }
  return x;
}

/// Looks at what every message says of its sender's clock and topology.
void heed(pointer self, const batch_header& x) {
  auto& st = self->state;
  auto& context = st.loop->context();
  if (!context.observe(x.clock) && !std::exchange(st.clock_told, true))
    context.log.warning(
        "the clock of {} is far ahead of this node's: it is not taken over, and what "
        "is written there may hide what is written here; set the hosts' clocks",
        st.member_name);
  if (st.loop->view && x.epoch > st.loop->view->topo.epoch)
    self->send(st.topology, epoch_atom::value, x.epoch, st.member_name);
}

suspicion::time since_start(caf::actor_clock::time_point x) {
  return std::chrono::duration_cast<suspicion::time>(x.time_since_epoch());
}

/// Why the node that answered is not used; empty: it is.
std::string objection(const peer_state& st, const hello& x) {
  auto& view = st.loop->view;
  auto known = view ? view->topo.cluster_id : 0;
  if (x.protocol != protocol_version)
    return fmt::format("it speaks version {} of the cluster protocol, this node version {}",
                       x.protocol, protocol_version);
  if (x.name != st.member_name || (known && x.cluster_id && x.cluster_id != known))
    return fmt::format("it is {} of cluster {:x}, not of {:x}", x.name, x.cluster_id, known);
  auto member = view ? view->topo.find(st.member_name) : nullptr;
  if (member && member->id != x.id)
    return "it has other data than the member of that name, and is not used until it is one";
  return {};
}

/// The node is not used, and will be asked again. What somebody has to do something about is said
/// loudly, once: that it answers and is not the one, or that it does not come back by itself.
void do_without(pointer self, const std::string& why, bool at_seed, bool answered) {
  auto& st = self->state;
  st.dialing = false;
  auto& log = st.loop->context().log;
  auto loudly = !at_seed && (answered || now(self) - st.down_since >= limits::absence_worth_a_line);
  if (loudly && std::exchange(st.last_objection, why) != why)
    log.warning("{} at {} can not be used: {}", st.member_name, st.address, why);
  else
    log.debug("{} at {} can not be used: {}", st.member_name, st.address, why);
  if (!st.confirmed && !st.retired)
    self->send(st.membership, suspect_atom::value, st.member_name);
  dial_later(self);
}

void on_connected(pointer self, const gateway_actor& remote, const hello& x,
                  const std::string& address) {
  auto& st = self->state;
  st.dialing = false;
  if (st.retired)
    return;
  // At a seed anybody may be.
  if (auto why = objection(st, x); !why.empty())
    return do_without(self, why, address != st.address, true);
  st.remote = remote;
  st.up = true;
  st.dials = 0;
  st.confirmed = false;
  st.up_since = now(self);
  st.backoff = limits::reconnect_min;
  st.doubts.on_connected(since_start(now(self)));
  self->monitor(remote);
  heed(self, x.header);
  st.last_objection.clear();
  st.loop->context().log.info("connected to {} at {}", st.member_name, address);
  self->send(st.membership, peer_status{st.member_name, true});
}

void dial(pointer self) {
  auto& st = self->state;
  if (st.up || st.dialing || st.retired)
    return;
  st.dialing = true;
  auto& context = st.loop->context();
  auto address = address_to_try(st.address, context.options.cluster.seeds, context.cluster_address,
                                st.loop->view ? &st.loop->view->topo : nullptr, st.dials++);
  auto failed = [self, address](const caf::error& err) {
    do_without(self, message_of(err), address != self->state.address, err == errc::incompatible);
  };
  self->request(st.dialer, limits::dial_deadline, dial_atom::value, address)
      .then(
          [self, failed, address](const gateway_actor& remote) {
            auto words = own_hello(*self->state.loop);
            // Where two nodes connect to each other at the same moment CAF may drop both
            // connections, and the first hello: it is not waited for long.
            auto patience =
                std::min<caf::timespan>(limits::hello_deadline, 4 * self->state.backoff);
            self->request(remote, patience, hello_atom::value, words)
                .then([self, remote,
                       address](const hello& x) { on_connected(self, remote, x, address); },
                      failed);
          },
          failed);
}

batch_header header_of(io_loop& loop) {
  return {loop.context().now(), loop.view ? loop.view->topo.epoch : 0};
}

/// As the gateways of other nodes do: calls made by an older view than the node has now find other
/// replicas.
void refuse_outdated(pointer self, const cluster_view& view) {
  auto& st = self->state;
  auto outdated = [&](const call& x) {
    return !std::holds_alternative<service_call>(x.what) &&
           !std::holds_alternative<release_call>(x.what) && !view.agrees_with(x);
  };
  auto gone = std::stable_partition(st.pending.begin(), st.pending.end(),
                                    [&](const call& x) { return !outdated(x); });
  if (gone == st.pending.end())
    return;
  for (auto i = gone; i != st.pending.end(); ++i)
    settle(st, static_cast<uint32_t>(i->id),
           answer{0, failed_answer{errc::not_owner, true, "the partition's replicas are others"}});
  st.pending.erase(gone, st.pending.end());
  deliver(self);
}

/// This node's own vnodes are a message away: no batch is worth waiting for. Only what other actors
/// of the node have to do goes through the gateway.
void flush_to_own_node(pointer self) {
  auto& st = self->state;
  auto about_keys = [](const call& x) { return !std::holds_alternative<service_call>(x.what); };
  if (auto& view = st.loop->view)
    refuse_outdated(self, *view);
  for (auto& x : st.pending)
    st.slots[static_cast<uint32_t>(x.id)].sent = true;
  auto rest = std::partition(st.pending.begin(), st.pending.end(), about_keys);
  if (rest != st.pending.end()) {
    call_batch batch{header_of(*st.loop), {}};
    std::move(rest, st.pending.end(), std::back_inserter(batch.calls));
    st.pending.erase(rest, st.pending.end());
    self->send(st.remote, std::move(batch));
  }
  send_to_vnodes(self, *st.loop, std::exchange(st.pending, {}),
                 caf::actor_cast<caf::strong_actor_ptr>(self));
}

uint32_t take_slot(peer_state& st) {
  if (st.free_slots.empty()) {
    st.slots.emplace_back();
    return static_cast<uint32_t>(st.slots.size() - 1);
  }
  auto index = st.free_slots.back();
  st.free_slots.pop_back();
  return index;
}

uint32_t take_group(peer_state& st) {
  if (st.free_groups.empty()) {
    st.groups.emplace_back();
    return static_cast<uint32_t>(st.groups.size() - 1);
  }
  auto index = st.free_groups.back();
  st.free_groups.pop_back();
  return index;
}

/// Room for two of the largest values beside what is usual: a write may carry the old and the new
/// one, and small calls go on meanwhile.
size_t open_bytes_max(const peer_state& st) {
  return limits::call_bytes_in_flight_max + 2 * st.loop->context().options.memcache.max_item_size;
}

/// Gives each call its slot. Those that can not be sent are settled.
void note(peer_state& st, const caf::strong_actor_ptr& sender, call_list& calls,
          caf::actor_clock::time_point time) {
  if (calls.calls.empty())
    return;
  auto group_index = take_group(st);
  st.groups[group_index].sender = sender;
  for (auto& x : calls.calls) {
    auto index = take_slot(st);
    auto& s = st.slots[index];
    s.tag = x.id;
    s.group = group_index;
    s.bytes = static_cast<uint32_t>(size_of(x));
    s.open = true;
    s.sent = false;
    ++st.groups[group_index].open;
    ++st.open_calls;
    st.open_bytes += s.bytes;
    if (!st.up || st.retired) {
      settle_failure(st, index, errc::peer_down);
      continue;
    }
    if (st.open_calls > limits::calls_in_flight_max || st.open_bytes > open_bytes_max(st)) {
      ++st.loop->count.calls_refused;
      settle_failure(st, index, errc::overloaded);
      continue;
    }
    x.id = static_cast<uint64_t>(s.generation) << 32 | index;
    s.deadline = time + deadline_of(x);
    st.pending.push_back(std::move(x));
  }
  st.loop->count.calls += calls.calls.size();
}

void take(pointer self, call_list& calls) {
  auto& st = self->state;
  note(st, self->current_sender(), calls, now(self));
  deliver(self);
  if (!st.dialer)
    flush_to_own_node(self);
  else if (!st.pending.empty())
    flush_at_turn_end(self, st.box, peer_actor{self}, *st.loop);
}

/// Whether the answers may come with a batch of calls: to who is there now, and not so large that
/// calls would wait for them.
bool goes_along(const peer_state& st, const outbox::reply& x) {
  return x.to->node() == st.remote.node() && x.bytes <= limits::batch_bytes_max;
}

void flush(pointer self) {
  auto& st = self->state;
  st.box->flush_due = false;
  auto time = now(self);
  for (auto& x : std::exchange(st.box->lots, {}))
    note(st, x.sender, x.calls, time);
  deliver(self);
  auto replies = std::exchange(st.box->replies, {});
  call_batch batch;
  size_t bytes = 0;
  if (st.up && !st.pending.empty() && !replies.empty() && goes_along(st, replies.back())) {
    batch.answers_for = replies.back().to->id();
    batch.answers = std::move(replies.back().batch);
    bytes = replies.back().bytes;
    replies.pop_back();
  }
  for (auto& x : replies)
    self->send(caf::actor_cast<answer_batch_sink>(x.to), std::move(x.batch));
  if (st.pending.empty() || !st.up)
    return;
  auto calls = std::exchange(st.pending, {});
  auto send_batch = [&] {
    batch.header = header_of(*st.loop);
    ++st.loop->count.batches;
    self->send(st.remote, std::exchange(batch, {}));
    bytes = 0;
  };
  for (auto& x : calls) {
    auto& s = st.slots[static_cast<uint32_t>(x.id)];
    s.sent = true;
    bytes += s.bytes;
    batch.calls.push_back(std::move(x));
    if (batch.calls.size() >= limits::batch_calls_max || bytes >= limits::batch_bytes_max)
      send_batch();
  }
  if (!batch.calls.empty())
    send_batch();
}

/// Looks at every slot: there are as many as were ever open at once, and this is rare.
void expire(peer_state& st, caf::actor_clock::time_point time) {
  for (uint32_t i = 0; i < st.slots.size(); ++i)
    if (st.slots[i].open && st.slots[i].deadline <= time) {
      ++st.loop->count.calls_timed_out;
      settle_failure(st, i, errc::timed_out);
    }
}

/// Requests that began under an older view may still call it. Each is refused at once.
/// What is under way already ends as it would have: the node may be one that leaves.
void retire(pointer self) { self->state.retired = now(self); }

void tick(pointer self) {
  auto& st = self->state;
  auto time = now(self);
  if (st.retired && time - *st.retired > limits::peer_retired)
    return self->quit();
  if (st.open_calls > 0)
    expire(st, time);
  deliver(self);
  if (!st.dialer || !st.up)
    return;
  auto step = st.doubts.tick(since_start(time));
  if (step == suspicion::step::lost) {
    lost(self, "silent");
    return dial_later(self);
  }
  if (step == suspicion::step::ask_others) {
    ++st.loop->count.suspicions;
    self->send(st.membership, suspect_atom::value, st.member_name);
  }
  if (st.doubts.probe_due(since_start(time))) {
    call_batch probe;
    probe.header = header_of(*st.loop);
    self->send(st.remote, std::move(probe));
  }
}

void on_witness(pointer self, bool reached) {
  auto& st = self->state;
  if (st.up)
    return st.doubts.on_witness(reached);
  if (reached || st.retired || std::exchange(st.confirmed, true))
    return;
  self->send(st.membership, peer_status{st.member_name, false, true});
}

void on_answers(pointer self, answer_batch& batch) {
  auto& st = self->state;
  st.doubts.on_sign(since_start(now(self)));
  heed(self, batch.header);
  for (auto& x : batch.answers) {
    auto index = static_cast<uint32_t>(x.id);
    if (index < st.slots.size() && st.slots[index].open && st.slots[index].generation == x.id >> 32)
      settle(st, index, std::move(x));
  }
  deliver(self);
}

} // namespace

peer_actor::behavior_type peer(pointer self, io_loop_ptr loop, std::string member_name,
                               std::string address, gateway_actor own_gateway, dialer_actor dialer,
                               membership_actor membership, topology_actor topology,
                               outbox_ptr box) {
  auto& st = self->state;
  st.loop = std::move(loop);
  st.member_name = std::move(member_name);
  st.address = std::move(address);
  st.dialer = std::move(dialer);
  st.membership = std::move(membership);
  st.topology = std::move(topology);
  st.box = std::move(box);
  st.down_since = now(self);
  if (own_gateway) {
    st.remote = std::move(own_gateway);
    st.up = true;
  } else {
    self->send(self, dial_atom::value);
  }
  self->set_down_handler([self](caf::down_msg& dm) {
    // Handles compare by node and id: a late message about an old proxy looks like one about the
    // current. It only costs another dial.
    auto& st = self->state;
    if (st.dialer && st.up && dm.source == st.remote.address()) {
      lost(self, "connection closed");
      dial_again(self);
    }
  });
  st.loop->add_peer(self);
  st.box->send_all = [self] { flush(self); };
  self->attach_functor([loop = st.loop, box = st.box, own = self->address()] {
    box->send_all = nullptr;
    loop->remove_peer(own);
  });
  return {
      [self](call_list& calls) { take(self, calls); },
      [self](answer_batch& batch) { on_answers(self, batch); },
      [self](stop_atom) { retire(self); },
      [self](witness_atom, bool reached) { on_witness(self, reached); },
      [self](flush_batch_atom) { flush(self); },
      [self](tick_atom) { tick(self); },
      [self](dial_atom) { dial(self); },
  };
}

} // namespace kai
