#include "actors/gateway.hpp"

#include <algorithm>

#include "actors/process_pulse.hpp"
#include "protocol/limits.hpp"

namespace kai {

namespace {

using pointer = local_gateway_actor::stateful_pointer<gateway_state>;

batch_header header_of(gateway_state& st) {
  return {st.loop->context().now(), st.loop->context().epoch()};
}

void answer_later(pointer self, const caf::strong_actor_ptr& to, answer x) {
  auto& st = self->state;
  if (st.loop->replies.find(to)) {
    answer_batch one{header_of(st), {}};
    one.answers.push_back(std::move(x));
    return send_answers(self, *st.loop, to, std::move(one));
  }
  auto i = std::find_if(st.out.begin(), st.out.end(), [&](auto& y) { return y.reply_to == to; });
  if (i == st.out.end())
    i = st.out.insert(st.out.end(), {to, {}});
  i->batch.answers.push_back(std::move(x));
  if (!std::exchange(st.flush_due, true))
    flush_at_turn_end(self, local_gateway_actor{self}, *st.loop);
}

void flush(pointer self) {
  auto& st = self->state;
  st.flush_due = false;
  for (auto& x : std::exchange(st.out, {})) {
    x.batch.header = header_of(st);
    send_answers(self, x.reply_to, std::move(x.batch));
  }
}

void refuse(pointer self, const caf::strong_actor_ptr& to, uint64_t id, errc why,
            std::string message) {
  answer_later(self, to, answer{id, failed_answer{why, true, std::move(message)}});
}

/// Asks an actor of this node, and passes its text on.
template <class Service>
void serve(pointer self, const Service& service, const caf::strong_actor_ptr& to, uint64_t id,
           std::string request) {
  self->request(service, limits::service_deadline, service_atom::value, std::move(request))
      .then(
          [self, to, id](std::string& text) {
            answer_later(self, to, answer{id, text_answer{std::move(text)}});
          },
          [self, to, id](const caf::error& err) {
            refuse(self, to, id, errc::refused, message_of(err));
          });
}

/// Requests of clients that this node answered, since its start or `stats reset`.
uint64_t requests_answered(const counters& x) {
  return x.cmd_get + x.cmd_set + x.cmd_touch + x.delete_hits + x.delete_misses + x.incr_hits +
         x.incr_misses + x.decr_hits + x.decr_misses;
}

void serve(pointer self, const caf::strong_actor_ptr& to, uint64_t id, service_call& what) {
  auto& st = self->state;
  if (what.service == "ping")
    answer_later(self, to, answer{id, text_answer{}});
  else if (what.service == "load")
    answer_later(self, to,
                 answer{id, text_answer{std::to_string(requests_answered(st.loop->count))}});
  else if (what.service == "topology")
    serve(self, st.topology, to, id, std::move(what.request));
  else if (what.service == "admin")
    serve(self, st.admin, to, id, std::move(what.request));
  else
    refuse(self, to, id, errc::incompatible, "this version has no service " + what.service);
}

/// Whether the call names its key's partition, was made by the same idea of who holds that, and
/// this node does or may stand in for who does.
bool ours(const cluster_view& view, const call& x) {
  auto for_stand_ins = std::holds_alternative<hint_call>(x.what) ||
                       std::holds_alternative<lead_call>(x.what) ||
                       std::holds_alternative<apply_call>(x.what);
  auto about_partition =
      std::holds_alternative<tree_call>(x.what) || std::holds_alternative<leaf_call>(x.what);
  auto partitions = view.topo.settings.partitions;
  auto named = about_partition ? x.partition < partitions
                               : x.partition == partition_of(key_hash(x.key.view()), partitions);
  return named && view.agrees_with(x) && (for_stand_ins || view.owns(view.self, x.partition));
}

/// By the cluster's clock. This node may have been stopped, or the network, with the call in a
/// buffer.
bool too_late(node_context& context, const batch_header& header, const call& x) {
  auto wait = std::chrono::duration_cast<std::chrono::microseconds>(deadline_of(x)).count();
  return context.now() > header.clock + static_cast<uint64_t>(wait);
}

void on_calls(pointer self, call_batch& batch) {
  auto& st = self->state;
  auto& context = st.loop->context();
  context.observe(batch.header.clock);
  auto from = caf::actor_cast<caf::strong_actor_ptr>(self->current_sender());
  if (!from)
    return;
  if (batch.answers_for != 0)
    if (auto peer = st.loop->find_peer(batch.answers_for))
      self->send(peer, std::move(batch.answers));
  auto view = st.loop->view;
  if (view && batch.header.epoch > view->topo.epoch)
    self->send(st.topology, epoch_atom::value, batch.header.epoch, std::string{});
  if (batch.calls.empty()) {
    self->send(caf::actor_cast<answer_batch_sink>(from), answer_batch{header_of(st), {}});
    return;
  }
  request_list to_lead;
  to_lead.forwarded = true;
  // What is left is for vnodes.
  std::erase_if(batch.calls, [&](call& x) {
    auto lead = std::get_if<lead_call>(&x.what);
    if (auto service = std::get_if<service_call>(&x.what)) {
      serve(self, from, x.id, *service);
    } else if (!view || !ours(*view, x)) {
      refuse(self, from, x.id, errc::not_owner,
             "this node does not hold the key, or knows of other replicas");
    } else if (!lead) {
      return false;
    } else if (too_late(context, batch.header, x)) {
      refuse(self, from, x.id, errc::timed_out, "the write came too late");
    } else {
      auto tag = st.next_tag++;
      st.forwarded.emplace(tag, gateway_state::forwarded_call{from, x.id});
      context.observe(lead->above);
      to_lead.requests.push_back({tag, std::move(x.key), std::move(lead->what), lead->above,
                                  lead->until, 0, std::move(lead->tried)});
    }
    return true;
  });
  send_to_vnodes(self, *st.loop, std::move(batch.calls), from);
  if (!to_lead.requests.empty())
    self->send(st.loop->take_coordinator(), std::move(to_lead));
}

void on_responses(pointer self, response_list& xs) {
  auto& st = self->state;
  for (auto& x : xs.responses) {
    auto i = st.forwarded.find(x.tag);
    if (i == st.forwarded.end())
      continue;
    auto [to, id] = i->second;
    st.forwarded.erase(i);
    if (auto y = std::get_if<outcome>(&x.what))
      answer_later(self, to, answer{id, lead_answer{std::move(*y)}});
    else if (auto y = std::get_if<failed_answer>(&x.what))
      answer_later(self, to, answer{id, std::move(*y)});
  }
}

caf::result<hello> on_hello(pointer self, const hello& x) {
  auto& st = self->state;
  // Before its storage is open the node does not know who it is.
  if (!st.admin)
    return failure(errc::not_a_member, "the node is still starting");
  auto& context = st.loop->context();
  if (x.protocol != protocol_version)
    return failure(errc::incompatible, context.name + " speaks version " +
                                           std::to_string(protocol_version) +
                                           " of the cluster protocol, " + x.name + " version " +
                                           std::to_string(x.protocol));
  // To the others it would be up: it may have to drop its data first.
  if (!st.loop->view)
    return failure(errc::not_a_member, context.name + " does not take part yet");
  auto known = st.loop->view->topo.cluster_id;
  if (x.cluster_id && known != x.cluster_id)
    return failure(errc::incompatible, context.name + " belongs to another cluster than " + x.name);
  if (!context.observe(x.header.clock))
    return failure(errc::incompatible, "the clock of " + x.name + " is far ahead of that of " +
                                           context.name + ": set the hosts' clocks");
  st.loop->replies.add(caf::actor_cast<caf::strong_actor_ptr>(self->current_sender()), x,
                       st.loop->view);
  hello mine;
  mine.protocol = protocol_version;
  mine.cluster_id = known;
  mine.name = context.name;
  mine.id = context.id;
  mine.incarnation = context.incarnation;
  mine.header = header_of(st);
  return mine;
}

} // namespace

local_gateway_actor::behavior_type gateway(pointer self, io_loop_ptr loop) {
  self->state.loop = std::move(loop);
  self->delayed_send(self, limits::peer_tick, tick_atom::value);
  return {
      [self](const hello_atom&, const hello& x) { return on_hello(self, x); },
      [self](call_batch& batch) { on_calls(self, batch); },
      [self](admin_atom, std::string& command,
             std::vector<std::string>& arguments) -> caf::result<std::string> {
        auto& st = self->state;
        if (!st.admin)
          return failure(errc::not_a_member, "this node is still starting");
        if (command == "join")
          return self->delegate(st.topology, admin_atom::value,
                                arguments.empty() ? std::string{} : std::move(arguments[0]));
        return self->delegate(st.admin, admin_atom::value, std::move(command),
                              std::move(arguments));
      },
      [self](response_list& xs) { on_responses(self, xs); },
      [self](flush_batch_atom) { flush(self); },
      [self](tick_atom) {
        self->delayed_send(self, limits::peer_tick, tick_atom::value);
        pulse().beat(process_pulse::time_point::clock::now());
        self->state.loop->tick(self->home_system().clock().now());
      },
      [self](const view_ptr& view) {
        auto& st = self->state;
        if (!st.loop->view)
          for (auto& x : st.loop->vnodes)
            self->send(x, start_atom::value, view->topo.settings.partitions);
        st.loop->view = view;
        st.loop->replies.use(*view);
      },
      [self](const credentials_ptr& x) { self->state.loop->credentials = x; },
      [self](start_atom, vnode_list& vnodes, const topology_actor& topology,
             const admin_actor& admin) {
        self->state.loop->vnodes = std::move(vnodes);
        self->state.topology = topology;
        self->state.admin = admin;
      },
  };
}

} // namespace kai
