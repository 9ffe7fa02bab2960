#include "actors/handoff.hpp"

#include <algorithm>
#include <memory>

#include "protocol/limits.hpp"
#include "protocol/topology_messages.hpp"

namespace kai {

namespace {

using pointer = handoff_actor::stateful_pointer<handoff_state>;

handoff_state::time_point now(pointer self) { return self->home_system().clock().now(); }

// --- putting targets in force --------------------------------------------------------------------

/// Whether it is for this node to propose: the first live member by name.
bool drives(const cluster_view& view) {
  auto first = std::find(view.alive.begin(), view.alive.end(), true);
  return first - view.alive.begin() == view.self;
}

void propose(pointer self, const view_ptr& asked, std::vector<fill_report> reports) {
  auto& st = self->state;
  auto over = [self] { self->state.asking = false; };
  if (st.view->topo.epoch != asked->topo.epoch || !with_filled(asked->topo, reports))
    return over();
  change_order order;
  order.what = change_order::kind::filled;
  order.epoch = asked->topo.epoch;
  order.reports = std::move(reports);
  self->request(st.topology_keeper, limits::join_deadline, std::move(order))
      .then([over](uint64_t) { over(); },
            [self, over](const caf::error& err) {
              self->state.context->log.debug("a filled target is not in force yet: {}",
                                             message_of(err));
              over();
            });
}

/// Asks every live member what is filled there.
void ask_members(pointer self) {
  auto& st = self->state;
  auto view = st.view;
  auto reports = std::make_shared<std::vector<fill_report>>(view->topo.members.size());
  std::vector<std::pair<member_index, call>> calls;
  for (size_t i = 0; i < reports->size(); ++i) {
    (*reports)[i].alive = view->alive[i];
    if (!view->alive[i])
      continue;
    calls.emplace_back(static_cast<member_index>(i), call{});
    calls.back().second.what = service_call{"admin", "filled"};
  }
  std::vector<member_index> asked;
  for (auto& x : calls)
    asked.push_back(x.first);
  auto each = [reports, asked](size_t position, answer& x) {
    auto text = std::get_if<text_answer>(&x.what);
    auto report = text ? decode_fill_report(text->text) : caf::error{errc::peer_down};
    // One that does not say may have hints, and is not full.
    auto& known = (*reports)[asked[position]];
    if (report)
      known = std::move(*report);
    else
      known.hints = 1;
  };
  st.asking = true;
  st.surveys.ask(self, view.get(), std::move(calls), each,
                 [self, view, reports] { propose(self, view, std::move(*reports)); });
}

// --- dropping ------------------------------------------------------------------------------------

void drop_on(pointer self);

void on_dropped(pointer self, answer& x) {
  auto& st = self->state;
  st.dropping = false;
  auto head = st.leftovers.front();
  st.leftovers.pop_front();
  if (auto done = std::get_if<drop_answer>(&x.what)) {
    st.dropped += done->dropped;
    head.from = done->more ? done->next : 0;
    // Once more after the last: a write that was decided before may have come in between.
    if (done->dropped > 0)
      st.leftovers.push_front(head);
  } else {
    // Refused where the lists have changed again: that it is back here, the view will tell.
    head.due = now(self) + limits::sync_retry;
    st.leftovers.push_back(head);
  }
  self->delayed_send(self, caf::timespan{limits::drop_pause}, turn_atom::value);
}

/// Through this node's own peer, which knows whether the partition came back meanwhile.
void drop_on(pointer self) {
  auto& st = self->state;
  std::erase_if(st.leftovers,
                [&](auto& x) { return !st.dropping && st.view->owns(st.view->self, x.partition); });
  if (st.dropping || st.leftovers.empty() || st.leftovers.front().due > now(self))
    return;
  auto& head = st.leftovers.front();
  call x;
  x.partition = head.partition;
  x.changed_at = st.view->topo.changed_at[head.partition];
  x.what = drop_call{head.from};
  st.dropping = true;
  st.surveys.ask(
      self, st.view.get(), {{st.view->self, std::move(x)}},
      [self](size_t, answer& x) { on_dropped(self, x); }, [] {});
}

void on_view(pointer self, const view_ptr& view) {
  auto& st = self->state;
  auto due = now(self) + limits::drop_after;
  for (uint32_t p = 0; p < view->topo.settings.partitions; ++p) {
    auto partition = static_cast<partition_id>(p);
    // At the start it may have anything.
    auto had = !st.view || st.view->owns(st.view->self, partition);
    if (had && !view->owns(view->self, partition))
      st.leftovers.push_back({partition, 0, due});
  }
  st.view = view;
}

} // namespace

handoff_actor::behavior_type handoff(pointer self, context_ptr context,
                                     topology_actor topology_keeper) {
  auto& st = self->state;
  st.context = std::move(context);
  st.topology_keeper = std::move(topology_keeper);
  self->delayed_send(self, caf::timespan{limits::handoff_tick}, tick_atom::value);
  return {
      [self](const view_ptr& view) { on_view(self, view); },
      [self](answer_list& xs) { self->state.surveys.on_answers(xs); },
      [self](report_atom) {
        auto& st = self->state;
        return handoff_report{st.leftovers.size(), st.dropped, st.view ? st.view->topo.epoch : 0};
      },
      [self](turn_atom) { drop_on(self); },
      [self](tick_atom) {
        auto& st = self->state;
        self->delayed_send(self, caf::timespan{limits::handoff_tick}, tick_atom::value);
        if (!st.view)
          return;
        if (!st.asking && !at_rest(st.view->topo) && drives(*st.view))
          ask_members(self);
        drop_on(self);
      },
  };
}

} // namespace kai
