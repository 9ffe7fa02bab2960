// long: whom this node compares with, and what follows for recovering, filling and reaping
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

bool evicts(const sync_state& st) { return st.context->options.storage.evicts(); }

/// Calls `visit(partition, others)` for each partition of this node; `others`: its other replicas
/// in force. With those to come only they themselves compare.
template <class Visit>
void each_own_partition(const cluster_view& view, Visit visit) {
  for (uint32_t i = 0; i < view.topo.settings.partitions; ++i) {
    auto partition = static_cast<partition_id>(i);
    if (!view.owns(view.self, partition))
      continue;
    auto places = view.replicas(partition);
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

/// Whether this node fills itself from another one first: from several at once everything would
/// come several times.
bool waits_for_source(sync_state& st, partition_id partition, member_index other) {
  if (!st.view->is_newcomer(st.view->self, partition))
    return false;
  // The one that leads has most to do already, and is the first.
  auto sources = st.view->replicas(partition);
  auto source = std::find_if(sources.rbegin(), sources.rend(),
                             [&](member_index x) { return st.view->alive[x]; });
  return *source != other && partner_of(st, *source).equal_at[partition] == 0;
}

void compare_with(pointer self, member_index other) {
  auto& st = self->state;
  auto name = st.view->topo.members[other].name;
  round_plan plan;
  plan.other = other;
  auto waiting = false;
  each_own_partition(*st.view, [&](partition_id partition, const auto& others) {
    if (std::find(others.begin(), others.end(), other) == others.end())
      return;
    if (waits_for_source(st, partition, other)) {
      waiting = true;
      return;
    }
    plan.partitions.push_back(partition);
    if (st.behind.count(partition) || st.view->moves(partition))
      plan.thorough.insert(partition);
  });
  auto& x = st.partners[name];
  x.due = now(self) + (waiting ? limits::sync_retry : limits::sync_interval);
  if (plan.partitions.empty())
    return;
  x.comparing = true;
  auto began = st.context->now();
  auto young = static_cast<timestamp>(
      std::chrono::duration_cast<std::chrono::microseconds>(limits::sync_young).count());
  auto lot = [self, name, began, young, view = st.view, generation = x.generation,
              thorough = plan.thorough](const partition_list& equal) {
    auto& st = self->state;
    auto found = st.partners.find(name);
    if (found == st.partners.end() || found->second.generation != generation)
      return;
    auto filled = false;
    for (auto partition : equal) {
      if (view->topo.changed_at[partition] != st.view->topo.changed_at[partition])
        continue;
      found->second.equal_at[partition] = thorough.count(partition) ? began : began - young;
      // What may go by it must not be on its way to one of the two.
      found->second.ever_equal_at[partition] = began - young;
      filled = filled || st.view->is_newcomer(st.view->self, partition);
    }
    // The other sources were waiting for this one.
    if (filled)
      for (auto& [other, y] : st.partners)
        y.due = std::min(y.due, now(self));
  };
  auto done = [self, name, generation = x.generation](bool all_equal) {
    auto found = self->state.partners.find(name);
    if (found == self->state.partners.end())
      return;
    auto& x = found->second;
    x.comparing = false;
    if (x.generation == generation && !all_equal)
      x.due = std::min(x.due, now(self) + limits::sync_retry);
  };
  start_round(self, std::move(plan), std::move(lot), std::move(done));
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

// --- pacing --------------------------------------------------------------------------------------

/// How busy clients are, all over the cluster, while there is something to compare.
void ask_for_load(pointer self) {
  auto& st = self->state;
  auto comparing = std::any_of(st.partners.begin(), st.partners.end(),
                               [](auto& x) { return x.second.comparing; });
  auto asked_at = now(self);
  auto within = asked_at - st.load_asked;
  if (!comparing || st.asking_for_load || within < limits::load_interval)
    return;
  st.asking_for_load = true;
  st.load_asked = asked_at;
  std::vector<std::pair<member_index, call>> calls;
  std::vector<std::string> names;
  for (size_t i = 0; i < st.view->topo.members.size(); ++i)
    if (st.view->alive[i]) {
      calls.emplace_back(static_cast<member_index>(i), call{});
      calls.back().second.what = service_call{"load", {}};
      names.push_back(st.view->topo.members[i].name);
    }
  auto sum = std::make_shared<uint64_t>(0);
  auto each = [self, sum, names](size_t position, answer& x) {
    auto text = std::get_if<text_answer>(&x.what);
    uint64_t count = 0;
    if (!text ||
        std::from_chars(text->text.data(), text->text.data() + text->text.size(), count).ec !=
            std::errc{})
      return;
    // What one answered before it was asked for the first time, or started anew, is long over.
    auto [before, first] = self->state.requests.try_emplace(names[position], count);
    *sum += count - std::min(count, before->second);
    before->second = count;
  };
  st.surveys.ask(self, st.view.get(), std::move(calls), each, [self, sum, within] {
    self->state.asking_for_load = false;
    self->state.rhythm.heard(*sum, within);
  });
}

/// Comparisons that have rested go on.
void rested(pointer self) {
  auto& resting = self->state.resting;
  while (!resting.empty() && resting.begin()->first <= now(self)) {
    auto next = std::move(resting.begin()->second);
    resting.erase(resting.begin());
    next();
  }
}

// --- recovering ----------------------------------------------------------------------------------

/// What the vnodes say to be behind is compared with everybody, from now on. `anew`: also what is
/// known to be behind since earlier.
void take_behind(pointer self, const partition_list& found, bool anew) {
  auto& st = self->state;
  auto time = now(self);
  auto fresh = false;
  for (auto x : found) {
    if (!st.view->owns(st.view->self, x))
      continue;
    auto [known, first] = st.behind.try_emplace(x, 0);
    if (!first && !anew)
      continue;
    known->second = st.context->now();
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
            [self, i, stops = self->state.stops](const partition_list& found) {
              auto& st = self->state;
              auto first = stops == st.stops && st.heard.insert(i).second;
              take_behind(self, found, first);
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
  for (auto other : st.view->replicas(partition))
    if (other != st.view->self && st.view->alive[other] &&
        partner_of(st, other).equal_at[partition] < since)
      return false;
  return true;
}

/// Whether this node, one of those to hold the moving partition, has what those have that hold it
/// now: as far as enough of them are alive.
bool has_all(sync_state& st, partition_id partition) {
  auto& view = *st.view;
  size_t equal = 0;
  for (auto other : view.replicas(partition))
    equal += other == view.self || partner_of(st, other).equal_at[partition] != 0;
  return equal >= sources_needed(view.topo, partition) && compared_with_all(st, partition, 1);
}

void end_recovery(pointer self) {
  auto& st = self->state;
  auto everybody =
      std::all_of(st.view->alive.begin(), st.view->alive.end(), [](bool x) { return x; });
  if (st.behind.empty() || st.heard.size() < st.vnodes.size() ||
      (!everybody && now(self) - st.started < limits::recovery_patience))
    return;
  // By when they were known to be behind.
  std::map<timestamp, partition_list> done;
  auto hints_matter = false;
  for (auto& [partition, since] : st.behind) {
    if (!compared_with_all(st, partition, since) ||
        (st.view->is_newcomer(st.view->self, partition) && !has_all(st, partition)))
      continue;
    if (st.no_hints_at < since)
      hints_matter = true;
    else
      done[since].push_back(partition);
  }
  if (hints_matter && !st.asking_for_hints)
    ask_for_hints(self);
  if (done.empty())
    return;
  for (auto& [since, partitions] : done) {
    for (auto x : partitions)
      st.behind.erase(x);
    for (auto& x : st.vnodes)
      self->send(x, caught_up_atom::value, partitions, since);
  }
  if (st.behind.empty())
    st.context->log.info("caught up with the other replicas{}",
                         everybody ? "" : " that can be reached");
}

/// This node was stopped for a while: it missed writes. The vnodes find that out as well, maybe
/// later, and are behind since then: nothing ends before each has said so.
void fall_behind(pointer self) {
  auto& st = self->state;
  partition_list all;
  each_own_partition(*st.view, [&](partition_id x, const auto&) { all.push_back(x); });
  for (auto& x : st.vnodes)
    self->send(x, behind_atom::value, all, st.context->now());
  st.behind.clear();
  st.heard.clear();
  ++st.stops;
  st.next_poll = st.last_tick;
  take_behind(self, all, true);
  st.context->log.info("stopped for a while: recovering");
}

// --- reaping -------------------------------------------------------------------------------------

/// The members that may have something left of lists before the last change of any: that were cut
/// off, say, and have not heard of it.
void ask_for_dropped(pointer self) {
  auto& st = self->state;
  auto& topo = st.view->topo;
  if (st.asking_for_dropped || now(self) < st.next_dropped)
    return;
  st.next_dropped = now(self) + limits::sync_retry;
  auto last_change = *std::max_element(topo.changed_at.begin(), topo.changed_at.end());
  std::vector<std::pair<member_index, call>> calls;
  std::vector<std::string> names;
  for (size_t i = 0; i < topo.members.size(); ++i) {
    auto other = static_cast<member_index>(i);
    if (other == st.view->self || !st.view->alive[i] ||
        partner_of(st, other).dropped_until >= last_change)
      continue;
    calls.emplace_back(other, call{});
    calls.back().second.what = service_call{"admin", "dropped"};
    names.push_back(topo.members[i].name);
  }
  if (calls.empty())
    return;
  st.asking_for_dropped = true;
  auto each = [self, names](size_t position, answer& x) {
    auto text = std::get_if<text_answer>(&x.what);
    auto found = self->state.partners.find(names[position]);
    uint64_t epoch = 0;
    if (!text || found == self->state.partners.end() ||
        std::from_chars(text->text.data(), text->text.data() + text->text.size(), epoch).ec !=
            std::errc{})
      return;
    auto& known = found->second.dropped_until;
    known = std::max(known, epoch);
  };
  st.surveys.ask(self, st.view.get(), std::move(calls), each,
                 [self] { self->state.asking_for_dropped = false; });
}

/// kai::in_sync_since of what this node knows. A cache compares nothing: there the grace alone
/// counts, for marks that stayed would in the end leave room for nothing else.
timestamp in_sync_since(sync_state& st, partition_id partition) {
  auto& view = *st.view;
  if (view.moves(partition))
    return 0;
  if (evicts(st))
    return st.context->now();
  auto replicas = view.replicas(partition);
  std::vector<reap_witness> others;
  for (size_t i = 0; i < view.topo.members.size(); ++i) {
    auto other = static_cast<member_index>(i);
    if (other == view.self)
      continue;
    auto& known = partner_of(st, other);
    others.push_back({std::find(replicas.begin(), replicas.end(), other) != replicas.end(),
                      known.ever_equal_at[partition], known.dropped_until});
  }
  return kai::in_sync_since(st.context->now(), view.topo.changed_at[partition], others);
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
/// that is here no longer has nothing to catch up with. Of those whose lists changed nothing is
/// known: their replicas have to be compared under the new ones.
void follow_ownership(pointer self, const cluster_view& next) {
  auto& st = self->state;
  st.next_poll = now(self);
  std::erase_if(st.behind, [&](auto& x) { return !next.owns(next.self, x.first); });
  // At the start the vnodes are behind with everything.
  if (!st.view)
    return;
  auto since = st.context->now();
  partition_list gained;
  each_own_partition(next, [&](partition_id x, const auto&) {
    if (!st.view->owns(st.view->self, x))
      gained.push_back(x);
  });
  if (!gained.empty())
    for (auto& x : st.vnodes)
      self->send(x, behind_atom::value, gained, since);
  for (auto x : gained)
    st.behind.try_emplace(x, since);
  for (uint32_t p = 0; p < next.topo.settings.partitions; ++p)
    if (next.topo.changed_at[p] != st.view->topo.changed_at[p])
      for (auto& [name, x] : st.partners) {
        x.equal_at[p] = x.ever_equal_at[p] = 0;
        x.due = now(self);
      }
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
  std::erase_if(st.fillings, [&](auto& x) { return !view->is_newcomer(view->self, x.first); });
  std::erase_if(st.requests, [&](auto& x) { return !view->topo.find(x.first); });
  auto& members = view->topo.members;
  std::erase_if(st.partners, [&](auto& x) { return !view->topo.find(x.first); });
  for (size_t i = 0; i < members.size(); ++i) {
    if (i == view->self)
      continue;
    auto [found, fresh] = st.partners.try_emplace(members[i].name);
    auto& x = found->second;
    if (fresh)
      x.ever_equal_at.assign(view->topo.settings.partitions, 0);
    if (fresh || x.alive != view->alive[i])
      forget_equality(st, x, time);
    x.alive = view->alive[i];
  }
}

void keep_equal(pointer self, bool stopped) {
  auto& st = self->state;
  auto time = now(self);
  if (stopped)
    fall_behind(self);
  if (st.next_poll <= time) {
    st.next_poll = time + limits::sync_retry;
    ask_vnodes(self);
  }
  compare_due(self);
  ask_for_load(self);
  ask_for_dropped(self);
  end_recovery(self);
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
  if (!evicts(st))
    keep_equal(self, stopped);
  st.reap_seen = 0;
  reap_on(self);
}

/// The moving partitions of whose target this node is, where it has all and counts towards R. A
/// node that evicts is a cache: it never has all.
void say_filled(sync_state& st, sync_report& result) {
  for (auto& x : st.view->topo.moves)
    if (std::find(x.target.begin(), x.target.end(), st.view->self) != x.target.end() &&
        (evicts(st) || (has_all(st, x.partition) && st.behind.count(x.partition) == 0 &&
                        st.heard.size() == st.vnodes.size())))
      result.filled.emplace_back(x.partition, st.view->topo.changed_at[x.partition]);
}

/// How far the others are that are on their way here: done is what can not be said of them before
/// all sources were compared.
void say_filling(const sync_state& st, sync_report& result) {
  constexpr double almost = 0.99;
  for (auto& x : st.view->topo.moves) {
    if (!st.view->is_newcomer(st.view->self, x.partition) ||
        std::any_of(result.filled.begin(), result.filled.end(),
                    [&](auto& y) { return y.first == x.partition; }))
      continue;
    auto found = st.fillings.find(x.partition);
    auto known = found != st.fillings.end() && found->second.most > 0 &&
                 found->second.changed_at == st.view->topo.changed_at[x.partition];
    auto share = known ? 1 - static_cast<double>(found->second.left) /
                                 static_cast<double>(found->second.most)
                       : 0;
    result.filling.emplace_back(x.partition, std::min(share, almost));
  }
}

sync_report report(pointer self) {
  auto& st = self->state;
  auto result = st.counted;
  if (!st.view)
    return result;
  result.epoch = st.view->topo.epoch;
  say_filled(st, result);
  say_filling(st, result);
  result.received_per_second = st.received.per_second(now(self).time_since_epoch());
  if (evicts(st))
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
      [self](report_atom) { return report(self); },
      [self](turn_atom) { rested(self); },
      [self](tick_atom) { on_tick(self); },
  };
}

} // namespace kai
