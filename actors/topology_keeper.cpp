// long: every way in which a topology comes to a node, and what each wants checked
#include "actors/topology_keeper.hpp"

#include <algorithm>
#include <memory>

#include "actors/topology_age.hpp"
#include "actors/topology_seeds.hpp"
#include "actors/topology_vote.hpp"
#include "protocol/limits.hpp"
#include "protocol/topology_rules.hpp"

namespace kai {

namespace {

using pointer = topology_self;
using kind = topology_request::kind;

caf::result<std::string> on_request(pointer self, const std::string& text) {
  auto x = decode_topology_request(text);
  if (!x)
    return x.error();
  return answer_member(self, *x);
}

// --- starting, and letting others in -------------------------------------------------------------

caf::result<bool> start(pointer self) {
  auto& st = self->state;
  if (auto err = load_topology(st))
    return err;
  if (st.current.epoch != 0) {
    if (!is_member(st))
      return no_longer_a_member(st.context->options.storage.directory);
    auto started = self->make_response_promise<bool>();
    st.age_unsettled = true;
    auto in = [self, started](caf::error err) mutable {
      if (err) {
        started.deliver(std::move(err));
        return;
      }
      auto& st = self->state;
      st.age_unsettled = false;
      st.context->use(st.current);
      self->send(st.membership, st.current);
      tell_own_entry(self);
      check_seeds(self);
      warn_of_settings(st, st.current.settings);
      started.deliver(true);
    };
    look_for_twin(self, [self, in](caf::error err) mutable {
      if (err)
        in(std::move(err));
      else
        settle_age(self, in);
    });
    return started;
  }
  auto promise = self->make_response_promise<bool>();
  st.starting.push_back(promise);
  if (!st.context->options.cluster.seeds.empty()) {
    join_through_seeds(self);
  } else {
    st.context->log.info("cluster.seeds is empty: founding a new cluster");
    auto first = found(st.random(), settings_of(st.context->options), own_member(st));
    if (!use(self, std::move(first))) {
      st.starting.clear();
      // The promise has taken the place of what a handler returns.
      promise.deliver(
          failure(errc::storage_failed, "storage.directory: the topology can not be written"));
    }
  }
  return promise;
}

/// By what this node knows of its connections and of the others'.
reachability reachable_in(const topology_state& st, const topology& now) {
  reachability result;
  for (auto& x : now.members) {
    auto found = st.view ? st.view->topo.find(x.name) : nullptr;
    auto index = found ? static_cast<size_t>(found - st.view->topo.members.data()) : 0;
    result.alive.push_back(found && st.view->alive[index]);
    result.unsure.push_back(found && st.view->unsure[index]);
  }
  return result;
}

/// At a member: a node wants to join. One that comes with the name of a member that is gone takes
/// its place.
caf::result<std::string> on_join(pointer self, const std::string& text) {
  auto& st = self->state;
  if (st.current.epoch == 0 || st.age_unsettled)
    return failure(errc::not_a_member, "this node is not a member itself yet");
  auto newcomer = decode_member_text(text);
  if (!newcomer)
    return newcomer.error();
  auto known = st.current.find(newcomer->name);
  if (known && known->id == newcomer->id)
    return encode_blob(st.current).str();
  auto objection = [self, x = *newcomer](const topology& now) {
    auto& st = self->state;
    return objection_to(now, x, st.context->name, reachable_in(st, now));
  };
  if (auto err = objection(st.current))
    return err;
  auto promise = self->make_response_promise<std::string>();
  auto apply = [objection, x = *newcomer](const topology& now) -> caf::expected<topology> {
    if (auto err = objection(now))
      return err;
    return with_member(now, x);
  };
  auto done = [self, promise, x = *newcomer](const caf::expected<topology>& decided) mutable {
    auto& now = self->state.current;
    auto known = now.find(x.name);
    if (decided)
      promise.deliver(encode_blob(*decided).str());
    else if (known && known->id == x.id)
      promise.deliver(encode_blob(now).str());
    else
      promise.deliver(decided.error());
  };
  topology_change change{"member " + newcomer->name, apply, done};
  change.until = self->home_system().clock().now() + limits::join_deadline;
  change.subject = change.description;
  propose(self, std::move(change));
  return promise;
}

// --- changes of members --------------------------------------------------------------------------

caf::expected<topology> apply_order(const topology_state& st, const change_order& order,
                                    const topology& now) {
  switch (order.what) {
  case change_order::kind::leave:
    return with_leaving(now, order.name, reachable_in(st, now).alive, order.forced);
  case change_order::kind::remove: {
    auto who = reachable_in(st, now);
    auto next = with_removed(now, order.name, who.alive, order.forced);
    if (next)
      if (auto err = doubt_of(now, order.name, who))
        return err;
    return next;
  }
  case change_order::kind::undo: return with_changes_undone(now);
  case change_order::kind::filled: break;
  }
  auto next = order.epoch == now.epoch ? with_filled(now, order.reports) : std::nullopt;
  if (!next)
    return failure(errc::refused, "the topology changed meanwhile");
  return *next;
}

std::string describe(const change_order& x) {
  auto how = x.forced ? " by force" : "";
  switch (x.what) {
  case change_order::kind::leave: return x.name + " leaves" + how;
  case change_order::kind::remove: return x.name + " is removed" + how;
  case change_order::kind::undo: return "changes under way are taken back";
  case change_order::kind::filled: break;
  }
  return "partitions are where they were to go";
}

/// Without a vote, for there can be none any more: the epoch is far above what the missing members,
/// should they live after all, can have decided among them, and replaces that.
caf::result<uint64_t> impose(pointer self, const change_order& order) {
  auto& st = self->state;
  auto next = apply_order(st, order, st.current);
  if (!next)
    return next.error();
  // Another member may do the same, unheard: of two epochs the higher one counts, when they meet.
  auto epoch = st.current.epoch + limits::imposed_epochs + st.random() % limits::imposed_epochs;
  for (auto& x : next->changed_at)
    if (x == next->epoch)
      x = epoch;
  next->epoch = epoch;
  if (auto err = validate(*next))
    return err;
  st.context->log.warning("{}, without a vote: most members are gone", describe(order));
  if (!use(self, *next))
    return failure(errc::storage_failed, "the topology can not be stored");
  topology_request learn;
  learn.what = kind::learn;
  learn.epoch = epoch;
  learn.value = encode_blob(*next);
  auto promise = self->make_response_promise<uint64_t>();
  ask_members(
      self, learn, [](size_t, const caf::expected<topology_reply>&) {},
      [promise, epoch]() mutable { promise.deliver(epoch); });
  return promise;
}

caf::error no_majority(size_t present, size_t members) {
  return failure(errc::refused, "only " + std::to_string(present) + " of " +
                                    std::to_string(members) +
                                    " members are alive, and more than half of them have to agree: "
                                    "start the others again, or, if they are gone for good, give "
                                    "them up with `remove NAME --force`, one by one");
}

caf::result<uint64_t> on_order(pointer self, const change_order& order) {
  auto& st = self->state;
  if (st.current.epoch == 0 || st.age_unsettled)
    return failure(errc::not_a_member, "this node is not a member itself yet");
  auto alive = reachable_in(st, st.current).alive;
  auto present = static_cast<size_t>(std::count(alive.begin(), alive.end(), true));
  if (present * 2 <= alive.size() && order.what != change_order::kind::filled) {
    if (order.forced && order.what == change_order::kind::remove)
      return impose(self, order);
    // What is wrong on top of that is what the operator sees first.
    auto forced = order;
    forced.forced = true;
    auto next = apply_order(st, forced, st.current);
    return next ? no_majority(present, alive.size()) : next.error();
  }
  auto promise = self->make_response_promise<uint64_t>();
  auto apply = [self, order](const topology& now) { return apply_order(self->state, order, now); };
  auto done = [promise](const caf::expected<topology>& decided) mutable {
    if (decided)
      promise.deliver(decided->epoch);
    else
      promise.deliver(decided.error());
  };
  topology_change change{describe(order), apply, done};
  change.until = self->home_system().clock().now() + limits::join_deadline;
  change.once = order.what != change_order::kind::filled;
  propose(self, std::move(change));
  return promise;
}

// --- flush_all -----------------------------------------------------------------------------------

/// Asks every live member for its clock, which the answers bring, and tells each this node's.
void exchange_clocks(pointer self, std::function<void()> done) {
  topology_request get;
  get.epoch = self->state.current.epoch;
  ask_members(
      self, get, [](size_t, const caf::expected<topology_reply>&) {}, std::move(done));
}

/// Answers the flushes whose mark is due, once every live member's clock has passed it. A clock
/// that is ahead of the wall clock, as after a crash, stands: it is put past the mark.
void finish_flushes(pointer self) {
  auto& st = self->state;
  auto now = self->home_system().clock().now();
  auto due = std::stable_partition(st.flushing.begin(), st.flushing.end(),
                                   [&](auto& x) { return x.due > now; });
  for (auto i = due; i != st.flushing.end(); ++i) {
    st.context->clock.observe(i->mark);
    exchange_clocks(self, [promise = i->promise]() mutable { promise.deliver(true); });
  }
  st.flushing.erase(due, st.flushing.end());
}

/// What of a mark ahead is so near that its flush_all is being answered, other clocks' lag
/// included.
constexpr auto near_mark =
    static_cast<timestamp>(std::chrono::microseconds{2 * limits::flush_lead}.count());

using flush_order = topology_state::flush_order;

void on_flush_decided(pointer self, flush_order& order, timestamp mark,
                      const caf::expected<topology>& decided) {
  auto& st = self->state;
  auto clock = self->home_system().clock().now();
  if (!decided && decided.error() == errc::contended && clock < order.until) {
    st.flushes_waiting.push_back(std::move(order));
    return self->delayed_send(self, limits::flush_lead, tick_atom::value);
  }
  if (!decided) {
    order.promise.deliver(decided.error());
    return;
  }
  if (order.delay > 1) {
    order.promise.deliver(true);
    return;
  }
  auto now = st.context->now();
  auto wait = std::chrono::microseconds{mark > now ? mark - now : 0};
  st.flushing.push_back({mark, clock + wait, order.promise});
  self->delayed_send(self, caf::timespan{wait + std::chrono::milliseconds{1}}, tick_atom::value);
}

/// In the order that makes it one moment for all: the mark lies above every write acknowledged
/// before (clocks are exchanged first) and a little ahead, so that each live node knows it before
/// any clock reaches it; the answer comes when all clocks are past it. So each vote that is tried
/// has a mark of its own, and none begins whose mark would lie behind the time that the client
/// waits: what is written after a flush that failed stays.
void start_flush(pointer self, flush_order order) {
  exchange_clocks(self, [self, order] {
    auto mark = std::make_shared<timestamp>(0);
    auto apply = [self, order, mark](const topology& now) -> caf::expected<topology> {
      auto& context = *self->state.context;
      if (now.flushed.is_near(context.now(), near_mark))
        return failure(errc::contended, "another flush_all takes effect");
      auto lead = std::chrono::microseconds{now.members.size() > 1 ? limits::flush_lead
                                                                   : limits::flush_lead_alone};
      // memcached counts in whole seconds and flushes one early: `flush_all 1` is at once.
      auto ahead = order.delay > 1 ? static_cast<uint64_t>(order.delay - 1) * 1'000'000
                                   : static_cast<uint64_t>(lead.count());
      *mark = context.issue() + ahead;
      return with_flush(now, *mark, context.now());
    };
    auto done = [self, order, mark](const caf::expected<topology>& decided) mutable {
      on_flush_decided(self, order, *mark, decided);
    };
    topology_change change{"flush_all", apply, done};
    change.until = order.until;
    propose(self, std::move(change));
  });
}

void start_waiting_flushes(pointer self) {
  for (auto& x : std::exchange(self->state.flushes_waiting, {}))
    start_flush(self, std::move(x));
}

caf::result<bool> flush_all(pointer self, int64_t delay) {
  auto& st = self->state;
  if (st.current.epoch == 0 || st.age_unsettled)
    return failure(errc::not_a_member, "this node is not a member of the cluster yet");
  auto promise = self->make_response_promise<bool>();
  auto until = self->home_system().clock().now() + limits::service_deadline - limits::flush_lead;
  start_flush(self, {delay, until, promise});
  return promise;
}

/// Who proposed what this node accepted may be gone, and nobody know that it is decided: then this
/// one sees it through. The change of its own is nothing, and is refused once that has happened.
void finish_vote(pointer self) {
  auto& st = self->state;
  if (!st.vote.accepted || st.proposal || !st.queue.empty())
    return;
  if (self->home_system().clock().now() - st.accepted_at < limits::vote_patience) {
    self->delayed_send(self, caf::timespan{limits::vote_patience}, tick_atom::value);
    return;
  }
  auto apply = [epoch = st.current.epoch](const topology& now) -> caf::expected<topology> {
    auto next = now;
    ++next.epoch;
    return now.epoch == epoch ? caf::expected<topology>{next}
                              : failure(errc::refused, "the vote has come to its end");
  };
  propose(self, {"an epoch whose vote did not end", apply, [](const caf::expected<topology>&) {}});
}

void on_newer_epoch(pointer self, uint64_t epoch) {
  auto& st = self->state;
  // One who answers late must not keep this node from what came after.
  if (epoch <= st.current.epoch || epoch <= st.fetching)
    return;
  st.fetching = epoch;
  topology_request get;
  get.epoch = st.current.epoch;
  ask_members(
      self, get, [](size_t, const caf::expected<topology_reply>&) {},
      [self, epoch] {
        if (self->state.fetching == epoch)
          self->state.fetching = 0;
      });
}

} // namespace

caf::error no_longer_a_member(const std::string& directory) {
  return failure(errc::bad_configuration,
                 "storage.directory: the data in " + directory +
                     " is no longer a member's; empty that directory to join as a new node");
}

topology_actor::behavior_type topology_keeper(pointer self, context_ptr context,
                                              durable_files files, std::vector<vnode_actor> vnodes,
                                              dialer_actor dialer, membership_actor membership,
                                              uint64_t seed) {
  auto& st = self->state;
  st.context = std::move(context);
  st.files = std::move(files);
  st.vnodes = std::move(vnodes);
  st.dialer = std::move(dialer);
  st.membership = std::move(membership);
  st.random.seed(seed);
  return {
      [self](start_atom) { return start(self); },
      [self](epoch_atom, uint64_t epoch, const std::string&) { on_newer_epoch(self, epoch); },
      [self](flush_all_atom, int64_t delay) { return flush_all(self, delay); },
      [self](service_atom, const std::string& text) { return on_request(self, text); },
      [self](admin_atom, const std::string& text) { return on_join(self, text); },
      [self](const change_order& order) { return on_order(self, order); },
      [self](const view_ptr& view) {
        self->state.view = view;
        next_proposal(self);
      },
      [self](answer_list& xs) { self->state.surveys.on_answers(xs); },
      [self](tick_atom) {
        self->state.retry_due = false;
        finish_flushes(self);
        start_waiting_flushes(self);
        finish_vote(self);
        join_through_seeds(self);
        if (auto again = std::exchange(self->state.age_retry, nullptr))
          again();
        next_proposal(self);
      },
  };
}

} // namespace kai
