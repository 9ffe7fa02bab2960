#include "actors/hints.hpp"

#include <map>

#include "actors/hint_store.hpp"
#include "protocol/limits.hpp"

namespace kai {

namespace {

using pointer = hints_actor::stateful_pointer<hints_state>;

/// The id of a call: which hint of the lot, and to whom.
uint64_t pack(size_t index, member_index to) { return static_cast<uint64_t>(index) << 16 | to; }

void begin(pointer self);
void go_on(pointer self);

void end(pointer self) {
  self->state.pass.reset();
  if (std::exchange(self->state.again, false))
    begin(self);
}

/// Sends each hint of the lot to where it goes.
void deliver(pointer self) {
  auto& st = self->state;
  st.lot_epoch = st.pass->topo.epoch;
  std::map<member_index, call_list> calls;
  for (size_t i = 0; i < st.lot.size(); ++i) {
    auto& x = st.lot[i];
    auto route = route_of(*st.pass, x.what.partition, x.what.target);
    x.needed = route.needed;
    for (auto to : route.to) {
      call c;
      c.id = pack(i, to);
      c.partition = x.what.partition;
      c.key = x.what.key;
      c.what = store_call{x.what.value};
      c.changed_at = st.pass->topo.changed_at[x.what.partition];
      calls[to].calls.push_back(std::move(c));
      ++st.unanswered;
    }
  }
  for (auto& [to, list] : calls)
    self->send(st.pass->peers[to], std::move(list));
}

/// Every call of the lot was answered: what was taken goes.
void settle(pointer self) {
  auto& st = self->state;
  hint_list taken;
  for (auto& x : st.lot)
    if (x.needed > 0 && x.taken >= x.needed)
      taken.hints.push_back(std::move(x.what));
  auto pause = !st.lot.empty();
  st.lot.clear();
  if (!taken.hints.empty())
    self->send(st.vnodes[st.vnode], std::move(taken));
  if (!st.at)
    ++st.vnode;
  if (pause)
    self->delayed_send(self, limits::hint_pause, turn_atom::value);
  else
    go_on(self);
}

void on_found(pointer self, hint_list& found) {
  auto& st = self->state;
  st.at = found.next;
  for (auto& x : found.hints)
    st.lot.push_back({std::move(x), 0, 0});
  deliver(self);
  if (st.unanswered == 0)
    settle(self);
}

/// Asks the vnode at hand for more.
void go_on(pointer self) {
  auto& st = self->state;
  if (st.vnode >= st.vnodes.size())
    return end(self);
  self->request(st.vnodes[st.vnode], limits::service_deadline,
                hint_question{st.pass, st.at.value_or(hint_cursor{}), st.all})
      .then([self](hint_list& found) { on_found(self, found); },
            [self](const caf::error&) { end(self); });
}

void begin(pointer self) {
  auto& st = self->state;
  if (!st.view)
    return;
  if (st.pass) {
    st.again = true;
    return;
  }
  st.pass = st.view;
  st.vnode = 0;
  st.at.reset();
  go_on(self);
}

/// It is down, or has more to do than it can: it gets the rest another time.
void spare(hints_state& st, member_index x) {
  if (!st.pass->alive[x])
    return;
  auto without = std::make_shared<cluster_view>(*st.pass);
  without->alive[x] = false;
  st.pass = std::move(without);
}

void on_answers(pointer self, answer_list& xs) {
  auto& st = self->state;
  for (auto& x : xs.answers) {
    --st.unanswered;
    auto why = std::get_if<failed_answer>(&x.what);
    if (!why)
      ++st.lot[x.id >> 16].taken;
    else if ((why->reason == errc::peer_down || why->reason == errc::timed_out ||
              why->reason == errc::overloaded) &&
             st.lot_epoch == st.pass->topo.epoch)
      spare(st, static_cast<member_index>(x.id & 0xffff));
  }
  if (st.unanswered == 0)
    settle(self);
}

} // namespace

hints_actor::behavior_type hints(pointer self, std::vector<vnode_actor> vnodes) {
  self->state.vnodes = std::move(vnodes);
  self->delayed_send(self, limits::hint_interval, tick_atom::value);
  return {
      [self](const view_ptr& view) {
        auto& st = self->state;
        st.view = view;
        // The peers of the view before may end.
        if (st.pass)
          st.pass = view;
        begin(self);
      },
      [self](answer_list& xs) { on_answers(self, xs); },
      [self](turn_atom) { go_on(self); },
      [self](tick_atom) {
        auto& st = self->state;
        self->delayed_send(self, limits::hint_interval, tick_atom::value);
        if (!st.pass) {
          st.all = ++st.ticks % limits::hint_expiry_every == 0;
          begin(self);
        }
      },
  };
}

} // namespace kai
