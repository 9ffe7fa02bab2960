#include "actors/sync.hpp"

#include <algorithm>
#include <charconv>
#include <memory>

#include "actors/sync_round.hpp"
#include "protocol/limits.hpp"

namespace kai {

namespace {

using pointer = sync_self;
using partner = sync_state::partner;

sync_state::time_point now(pointer self) { return self->home_system().clock().now(); }

std::chrono::microseconds grace_of(const sync_state& st) {
  return std::chrono::duration_cast<std::chrono::microseconds>(st.context->options.storage.grace);
}

bool evicts(const sync_state& st) { return st.context->options.storage.evict == eviction::lru; }

/// Calls `visit(partition, others)` for each partition of this node; `others`: its other replicas.
template <class Visit>
void each_own_partition(const cluster_view& view, Visit visit) {
  for (uint32_t i = 0; i < view.topo.settings.partitions; ++i) {
    auto partition = static_cast<partition_id>(i);
    auto places = view.replica_places(partition);
    if (std::find(places.begin(), places.end(), view.self) == places.end())
      continue;
    std::vector<member_index> others;
    std::copy_if(places.begin(), places.end(), std::back_inserter(others),
                 [&](member_index x) { return x != view.self; });
    visit(partition, others);
  }
}

partner& partner_of(sync_state& st, member_index x) {
  return st.partners[st.view->topo.members[x].name];
}

void forget_equality(sync_state& st, partner& x, sync_state::time_point due) {
  x.equal_at.assign(st.view->topo.settings.partitions, 0);
  ++x.generation;
  x.due = due;
}

// --- comparing -----------------------------------------------------------------------------------

void compare_with(pointer self, member_index other) {
  auto& st = self->state;
  auto name = st.view->topo.members[other].name;
  round_plan plan;
  plan.other = other;
  each_own_partition(*st.view, [&](partition_id partition, const auto& others) {
    if (std::find(others.begin(), others.end(), other) == others.end())
      return;
    plan.partitions.push_back(partition);
    if (st.behind.count(partition))
      plan.thorough.insert(partition);
  });
  auto& x = st.partners[name];
  x.due = now(self) + limits::sync_interval;
  if (plan.partitions.empty())
    return;
  x.comparing = true;
  auto began = st.context->now();
  auto young = static_cast<timestamp>(
      std::chrono::duration_cast<std::chrono::microseconds>(limits::sync_young).count());
  auto done = [self, name, began, young, generation = x.generation, asked = plan.partitions.size(),
               thorough = plan.thorough](const partition_list& equal) {
    auto& st = self->state;
    auto found = st.partners.find(name);
    if (found == st.partners.end())
      return;
    auto& x = found->second;
    x.comparing = false;
    if (x.generation != generation)
      return;
    for (auto partition : equal)
      x.equal_at[partition] = x.ever_equal_at[partition] =
          thorough.count(partition) ? began : began - young;
    if (equal.size() < asked)
      x.due = std::min(x.due, now(self) + limits::sync_retry);
  };
  start_round(self, std::move(plan), std::move(done));
}

void compare_due(pointer self) {
  auto& st = self->state;
  auto time = now(self);
  for (size_t i = 0; i < st.view->topo.members.size(); ++i) {
    auto other = static_cast<member_index>(i);
    if (other == st.view->self || !st.view->alive[i])
      continue;
    auto& x = partner_of(st, other);
    if (!x.comparing && x.due <= time)
      compare_with(self, other);
  }
}

// --- recovering ----------------------------------------------------------------------------------

/// What the vnodes say to be behind is compared with everybody, from now on.
void take_behind(pointer self, const partition_list& found) {
  auto& st = self->state;
  auto time = now(self);
  auto fresh = false;
  for (auto x : found) {
    if (!st.view->owns(st.view->self, x) || !st.behind.try_emplace(x, st.context->now()).second)
      continue;
    fresh = true;
    for (auto& [name, y] : st.partners)
      y.equal_at[x] = 0;
  }
  if (fresh)
    for (auto& [name, y] : st.partners)
      y.due = std::min(y.due, time);
}

void ask_vnodes(pointer self) {
  auto& vnodes = self->state.vnodes;
  for (size_t i = 0; i < vnodes.size(); ++i)
    self->request(vnodes[i], limits::service_deadline, behind_atom::value)
        .then(
            [self, i](const partition_list& found) {
              self->state.heard.insert(i);
              take_behind(self, found);
            },
            [self](const caf::error&) {
              // One that is busy, or not started yet, is asked again.
              self->state.next_poll = now(self);
            });
}

/// Whether any live member still has writes for this node.
void ask_for_hints(pointer self) {
  auto& st = self->state;
  st.asking_for_hints = true;
  auto asked_at = st.context->now();
  std::vector<std::pair<member_index, call>> calls;
  for (size_t i = 0; i < st.view->topo.members.size(); ++i)
    if (i != st.view->self && st.view->alive[i]) {
      calls.emplace_back(static_cast<member_index>(i), call{});
      calls.back().second.what = service_call{"admin", "hints " + st.context->name};
    }
  auto none = std::make_shared<bool>(true);
  auto each = [none](size_t, answer& x) {
    // One whose connection has gone meanwhile is no live one.
    auto why = std::get_if<failed_answer>(&x.what);
    auto text = std::get_if<text_answer>(&x.what);
    *none = *none && ((why && why->reason == errc::peer_down) || (text && text->text == "0"));
  };
  st.surveys.ask(self, st.view.get(), std::move(calls), each, [self, none, asked_at] {
    self->state.asking_for_hints = false;
    if (*none)
      self->state.no_hints_at = asked_at;
  });
}

bool compared_with_all(sync_state& st, partition_id partition, timestamp since) {
  for (auto other : st.view->replica_places(partition))
    if (other != st.view->self && st.view->alive[other] &&
        partner_of(st, other).equal_at[partition] < since)
      return false;
  return true;
}

void end_recovery(pointer self) {
  auto& st = self->state;
  auto everybody =
      std::all_of(st.view->alive.begin(), st.view->alive.end(), [](bool x) { return x; });
  if (st.behind.empty() || (!everybody && now(self) - st.started < limits::recovery_patience))
    return;
  partition_list done;
  auto hints_matter = false;
  for (auto& [partition, since] : st.behind) {
    if (!compared_with_all(st, partition, since))
      continue;
    if (st.no_hints_at < since)
      hints_matter = true;
    else
      done.push_back(partition);
  }
  if (hints_matter && !st.asking_for_hints)
    ask_for_hints(self);
  if (done.empty())
    return;
  for (auto x : done)
    st.behind.erase(x);
  if (st.behind.empty())
    st.context->log.info("caught up with the other replicas");
  for (auto& x : st.vnodes)
    self->send(x, behind_atom::value, done, false);
}

/// This node was stopped for a while: it missed writes.
void fall_behind(pointer self) {
  auto& st = self->state;
  partition_list all;
  each_own_partition(*st.view, [&](partition_id x, const auto&) { all.push_back(x); });
  for (auto& x : st.vnodes)
    self->send(x, behind_atom::value, all, true);
  st.behind.clear();
  take_behind(self, all);
  st.context->log.info("stopped for a while: recovering");
}

// --- reaping -------------------------------------------------------------------------------------

/// Since when all replicas of the partition were found equal; 0: not yet.
timestamp in_sync_since(sync_state& st, partition_id partition) {
  auto result = st.context->now();
  for (auto other : st.view->replica_places(partition))
    if (other != st.view->self)
      result = std::min(result, partner_of(st, other).ever_equal_at[partition]);
  return result;
}

void reap_on(pointer self) {
  auto& st = self->state;
  auto partitions = st.view->topo.settings.partitions;
  if (st.reaping || now(self) < st.next_sweep)
    return;
  while (st.reap_partition < partitions && !st.view->owns(st.view->self, st.reap_partition))
    ++st.reap_partition;
  if (st.reap_partition >= partitions) {
    st.reap_partition = 0;
    st.next_sweep =
        now(self) + std::max<std::chrono::microseconds>(grace_of(st) / 10, limits::sync_retry);
    return;
  }
  reap_order order{st.reap_partition,
                   st.reap_from,
                   in_sync_since(st, st.reap_partition),
                   {st.context->now(), grace_of(st)}};
  if (order.in_sync == 0) {
    ++st.reap_partition;
    st.reap_from = 0;
    return;
  }
  st.reaping = true;
  // Partitions are small, mostly: on with the next one while there is something left of the tick.
  auto next = [self](bool more, uint64_t from, uint64_t seen) {
    auto& st = self->state;
    st.reaping = false;
    st.reap_from = more ? from : 0;
    if (!more)
      ++st.reap_partition;
    st.reap_seen += seen;
    if (st.reap_seen < limits::reaped_per_tick)
      reap_on(self);
  };
  auto& vnode = st.vnodes[order.partition % st.vnodes.size()];
  self->request(vnode, limits::service_deadline, order)
      .then(
          [self, next](const reap_result& x) {
            self->state.counted.reaped += x.reaped;
            next(x.more, x.next, x.seen + 1);
          },
          [next](const caf::error&) { next(false, 0, limits::reaped_per_tick); });
}

// --- all of it -----------------------------------------------------------------------------------

/// A partition that is new here is behind, whatever was known of it when it was here before; one
/// that is here no longer has nothing to catch up with.
void follow_ownership(pointer self, const cluster_view& next) {
  auto& st = self->state;
  st.next_poll = now(self);
  std::erase_if(st.behind, [&](auto& x) { return !next.owns(next.self, x.first); });
  // At the start the vnodes are behind with everything.
  if (!st.view)
    return;
  partition_list gained;
  each_own_partition(next, [&](partition_id x, const auto&) {
    if (!st.view->owns(st.view->self, x))
      gained.push_back(x);
  });
  if (!gained.empty())
    for (auto& x : st.vnodes)
      self->send(x, behind_atom::value, gained, true);
}

void on_view(pointer self, const view_ptr& view) {
  auto& st = self->state;
  auto time = now(self);
  if (!st.view) {
    st.started = st.last_tick = time;
    self->send(self, tick_atom::value);
  }
  auto changed = !st.view || st.view->topo.epoch != view->topo.epoch;
  if (changed)
    follow_ownership(self, *view);
  st.view = view;
  auto& members = view->topo.members;
  std::erase_if(st.partners, [&](auto& x) { return !view->topo.find(x.first); });
  for (size_t i = 0; i < members.size(); ++i) {
    if (i == view->self)
      continue;
    auto [found, fresh] = st.partners.try_emplace(members[i].name);
    auto& x = found->second;
    if (fresh)
      x.ever_equal_at.assign(view->topo.settings.partitions, 0);
    if (fresh || changed || x.alive != view->alive[i])
      forget_equality(st, x, time);
    x.alive = view->alive[i];
  }
}

void on_tick(pointer self) {
  auto& st = self->state;
  auto time = now(self);
  self->delayed_send(self, limits::sync_tick, tick_atom::value);
  auto stopped = time - st.last_tick > limits::probe_timeout;
  st.last_tick = time;
  if (st.note_alive && st.next_alive <= time) {
    st.next_alive = time + std::min<caf::timespan>(limits::alive_interval,
                                                   st.context->options.storage.grace / 10);
    st.note_alive();
  }
  if (evicts(st))
    return;
  if (stopped)
    fall_behind(self);
  if (st.next_poll <= time) {
    st.next_poll = time + limits::sync_retry;
    ask_vnodes(self);
  }
  compare_due(self);
  end_recovery(self);
  st.reap_seen = 0;
  reap_on(self);
}

sync_report report(sync_state& st) {
  auto result = st.counted;
  if (!st.view || evicts(st))
    return result;
  each_own_partition(*st.view, [&](partition_id partition, const auto& others) {
    ++result.partitions;
    for (auto other : others)
      if (st.view->alive[other] && partner_of(st, other).equal_at[partition] == 0)
        ++result.unequal[st.view->topo.members[other].name];
  });
  result.recovering = st.heard.size() < st.vnodes.size() ? result.partitions : st.behind.size();
  return result;
}

} // namespace

sync_actor::behavior_type sync(pointer self, context_ptr context, std::vector<vnode_actor> vnodes,
                               std::function<void()> note_alive) {
  auto& st = self->state;
  st.context = std::move(context);
  st.vnodes = std::move(vnodes);
  st.note_alive = std::move(note_alive);
  return {
      [self](const view_ptr& view) { on_view(self, view); },
      [self](answer_list& xs) { self->state.surveys.on_answers(xs); },
      [self](resync_atom) {
        auto& st = self->state;
        if (st.view)
          for (auto& [name, x] : st.partners)
            forget_equality(st, x, now(self));
      },
      [self](report_atom) { return report(self->state); },
      [self](tick_atom) { on_tick(self); },
  };
}

} // namespace kai
