#include "actors/topology_keeper.hpp"

#include <algorithm>
#include <memory>

#include "actors/topology_age.hpp"
#include "actors/topology_vote.hpp"
#include "protocol/limits.hpp"
#include "protocol/topology_rules.hpp"

namespace kai {

namespace {

using pointer = topology_self;
using kind = topology_request::kind;

member own_member(const topology_state& st) {
  auto& context = *st.context;
  member x;
  x.name = context.name;
  x.zone = context.options.node.zone;
  x.memcache_address = context.memcache_address;
  x.cluster_address = context.cluster_address;
  x.id = context.id;
  return x;
}

/// How many records this node holds: asks every vnode, then calls `done`.
void count_records(pointer self, std::function<void(caf::expected<uint64_t>)> done) {
  struct tally {
    size_t open;
    uint64_t records = 0;
    caf::error err;
  };
  auto& st = self->state;
  auto sum = std::make_shared<tally>(tally{st.vnodes.size(), 0, {}});
  auto one = [sum, done] {
    if (--sum->open == 0)
      done(sum->err ? caf::expected<uint64_t>{sum->err} : caf::expected<uint64_t>{sum->records});
  };
  for (auto& x : st.vnodes)
    self->request(x, limits::service_deadline, report_atom::value)
        .then(
            [sum, one](const vnode_report& x) {
              sum->records += x.keys + x.tombstones;
              one();
            },
            [sum, one](caf::error& err) {
              sum->err = std::move(err);
              one();
            });
}

caf::result<std::string> on_request(pointer self, const std::string& text) {
  auto x = decode_topology_request(text);
  if (!x)
    return x.error();
  if (x->what != kind::census)
    return answer_member(self, *x);
  auto promise = self->make_response_promise<std::string>();
  count_records(self, [self, promise](caf::expected<uint64_t> records) mutable {
    if (!records) {
      promise.deliver(records.error());
      return;
    }
    topology_reply reply;
    reply.epoch = self->state.current.epoch;
    reply.records = *records;
    promise.deliver(encode_text(reply));
  });
  return promise;
}

// --- founding and joining ------------------------------------------------------------------------

cluster_settings settings_of(const node_options& options) {
  cluster_settings x;
  x.replicas = options.cluster.replicas;
  x.read_quorum = options.read_quorum_or_majority();
  x.write_quorum = options.write_quorum_or_majority();
  x.partitions = options.cluster.partitions;
  return x;
}

void join_through_seeds(pointer self);

void on_join_failed(pointer self, const std::string& seed, const caf::error& err) {
  auto& st = self->state;
  auto why = "joining through " + seed + ": " + message_of(err);
  if (why != st.last_join_error)
    st.context->log.warning("{}; trying again", why);
  st.last_join_error = why;
  self->delayed_send(self, limits::join_interval, tick_atom::value);
}

void on_joined(pointer self, const std::string& seed, const std::string& text) {
  auto decided = decode_topology_blob(blob::copy_of(text));
  if (!decided)
    return on_join_failed(self, seed, decided.error());
  auto& st = self->state;
  if (decided->settings != settings_of(st.context->options))
    st.context->log.warning("the cluster was founded with N={} R={} W={} and {} partitions: these "
                            "count, not this node's options",
                            decided->settings.replicas, decided->settings.read_quorum,
                            decided->settings.write_quorum, decided->settings.partitions);
  if (!use(self, std::move(*decided)))
    on_join_failed(self, seed, failure(errc::storage_failed, "the topology can not be stored"));
}

void join_through_seeds(pointer self) {
  auto& st = self->state;
  if (st.starting.empty() || st.current.epoch != 0)
    return;
  auto& seeds = st.context->options.cluster.seeds;
  auto seed = seeds[st.next_seed++ % seeds.size()];
  auto failed = [self, seed](const caf::error& err) { on_join_failed(self, seed, err); };
  self->request(st.dialer, limits::dial_deadline, dial_atom::value, seed)
      .then(
          [self, seed, failed](const gateway_actor& remote) {
            std::vector<std::string> arguments{encode_text(own_member(self->state))};
            self->request(remote, limits::join_deadline, admin_atom::value, std::string{"join"},
                          std::move(arguments))
                .then([self, seed](const std::string& text) { on_joined(self, seed, text); },
                      failed);
          },
          failed);
}

/// A member that came back elsewhere tells the others where it is now.
void update_own_address(pointer self) {
  auto& st = self->state;
  auto mine = own_member(st);
  auto known = st.current.find(mine.name);
  if (known->memcache_address == mine.memcache_address &&
      known->cluster_address == mine.cluster_address)
    return;
  auto apply = [mine](const topology& now) -> caf::expected<topology> {
    auto own = now.find(mine.name);
    if (!own)
      return failure(errc::refused, mine.name + " is no member any more");
    auto next = now;
    for (auto& x : next.members) {
      if (x.name == mine.name) {
        x.memcache_address = mine.memcache_address;
        x.cluster_address = mine.cluster_address;
      } else if (x.cluster_address == mine.cluster_address) {
        // Whoever was there is not, for this node listens there: addresses stay unique, and its own
        // start corrects the rest.
        x.cluster_address = own->cluster_address;
      }
    }
    ++next.epoch;
    return next;
  };
  propose(self, {"new addresses of " + mine.name, apply, [](const caf::expected<topology>&) {}});
}

caf::result<bool> start(pointer self) {
  auto& st = self->state;
  if (auto err = load_topology(st))
    return err;
  if (st.current.epoch != 0) {
    if (!is_member(st))
      return failure(errc::bad_configuration,
                     "storage.directory: the data there is no longer a member's; empty the "
                     "directory to join as a new node");
    auto started = self->make_response_promise<bool>();
    settle_age(self, [self, started](caf::error err) mutable {
      if (err) {
        started.deliver(std::move(err));
        return;
      }
      auto& st = self->state;
      st.context->use(st.current);
      self->send(st.membership, st.current);
      update_own_address(self);
      started.deliver(true);
    });
    return started;
  }
  auto promise = self->make_response_promise<bool>();
  st.starting.push_back(promise);
  if (!st.context->options.cluster.seeds.empty()) {
    join_through_seeds(self);
  } else {
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

void admit(pointer self, caf::typed_response_promise<std::string> promise, member x) {
  propose(self, {"member " + x.name, [x](const topology& now) { return with_member(now, x); },
                 [promise](const caf::expected<topology>& decided) mutable {
                   if (decided)
                     promise.deliver(encode_blob(*decided).str());
                   else
                     promise.deliver(decided.error());
                 }});
}

/// At a member: a node wants to join. One that comes with the name and zone of a member, and empty,
/// takes its place and is refilled. Others only while nobody holds data, for moving data is not
/// there yet.
caf::result<std::string> on_join(pointer self, const std::string& text) {
  auto& st = self->state;
  if (st.current.epoch == 0)
    return failure(errc::not_a_member, "this node is not a member itself yet");
  auto newcomer = decode_member_text(text);
  if (!newcomer)
    return newcomer.error();
  auto known = st.current.find(newcomer->name);
  if (known && known->id == newcomer->id)
    return encode_blob(st.current).str();
  if (known && known->zone == newcomer->zone) {
    auto index = static_cast<size_t>(known - st.current.members.data());
    if (known->name == st.context->name ||
        (st.view && st.view->topo.epoch == st.current.epoch && st.view->alive[index]))
      return failure(errc::refused, "a member named " + quoted(known->name) + " is alive");
    auto promise = self->make_response_promise<std::string>();
    admit(self, promise, *newcomer);
    return promise;
  }
  auto promise = self->make_response_promise<std::string>();
  auto records = std::make_shared<uint64_t>(0);
  auto silent = std::make_shared<std::string>();
  auto counted = [self, promise, records, silent, x = *newcomer]() mutable {
    caf::error refused;
    if (!silent->empty())
      refused = failure(errc::refused, "can not tell whether the cluster holds data: " + *silent);
    else if (*records > 0)
      refused = failure(errc::refused, "the cluster holds data (" + std::to_string(*records) +
                                           " records): nodes can only join while it is empty");
    if (refused) {
      promise.deliver(refused);
      return;
    }
    admit(self, promise, x);
  };
  count_records(self, [self, records, silent, counted](caf::expected<uint64_t> own) {
    if (own)
      *records += *own;
    else
      *silent = message_of(own.error());
    topology_request census;
    census.what = kind::census;
    ask_members(
        self, census,
        [self, records, silent](size_t voter, const caf::expected<topology_reply>& x) {
          if (x)
            *records += x->records;
          else
            *silent = self->state.current.members[voter].name + ": " + message_of(x.error());
        },
        counted);
  });
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

/// Answers the flushes whose mark is reached, once every live member's clock has passed it too.
void finish_flushes(pointer self) {
  auto& st = self->state;
  auto now = st.context->now();
  auto reached = std::stable_partition(st.flushing.begin(), st.flushing.end(),
                                       [&](auto& x) { return x.mark > now; });
  for (auto i = reached; i != st.flushing.end(); ++i)
    exchange_clocks(self, [promise = i->promise]() mutable { promise.deliver(true); });
  st.flushing.erase(reached, st.flushing.end());
  if (!st.flushing.empty())
    self->delayed_send(self, caf::timespan{std::chrono::milliseconds{5}}, tick_atom::value);
}

/// In the order that makes it one moment for all: the mark lies above every write acknowledged
/// before (clocks are exchanged first) and a little ahead, so that each live node knows it before
/// any clock reaches it; the answer comes when all clocks are past it.
caf::result<bool> flush_all(pointer self, int64_t delay) {
  auto& st = self->state;
  if (st.current.epoch == 0)
    return failure(errc::not_a_member, "this node is not a member of the cluster yet");
  auto promise = self->make_response_promise<bool>();
  exchange_clocks(self, [self, promise, delay] {
    auto mark = std::make_shared<timestamp>(0);
    auto apply = [self, delay, mark](const topology& now) -> caf::expected<topology> {
      auto& context = *self->state.context;
      auto lead = std::chrono::microseconds{now.members.size() > 1 ? limits::flush_lead
                                                                   : limits::flush_lead_alone};
      // memcached counts in whole seconds and flushes one early: `flush_all 1` is at once.
      auto ahead = delay > 1 ? static_cast<uint64_t>(delay - 1) * 1'000'000
                             : static_cast<uint64_t>(lead.count());
      *mark = context.issue() + ahead;
      return with_flush(now, *mark, context.now());
    };
    auto done = [self, promise, delay, mark](const caf::expected<topology>& decided) mutable {
      if (!decided || delay > 1) {
        if (decided)
          promise.deliver(true);
        else
          promise.deliver(decided.error());
        return;
      }
      auto& st = self->state;
      auto now = st.context->now();
      auto wait = std::chrono::microseconds{*mark > now ? *mark - now : 0};
      st.flushing.push_back({*mark, promise});
      self->delayed_send(self, caf::timespan{wait + std::chrono::milliseconds{1}},
                         tick_atom::value);
    };
    propose(self, {"flush_all", apply, done});
  });
  return promise;
}

void on_newer_epoch(pointer self, uint64_t epoch) {
  auto& st = self->state;
  if (epoch <= st.current.epoch || st.fetching)
    return;
  st.fetching = true;
  topology_request get;
  get.epoch = st.current.epoch;
  ask_members(
      self, get, [](size_t, const caf::expected<topology_reply>&) {},
      [self] { self->state.fetching = false; });
}

} // namespace

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
      [self](const view_ptr& view) {
        self->state.view = view;
        next_proposal(self);
      },
      [self](answer_list& xs) { self->state.surveys.on_answers(xs); },
      [self](tick_atom) {
        self->state.retry_due = false;
        finish_flushes(self);
        join_through_seeds(self);
        if (auto again = std::exchange(self->state.age_retry, nullptr))
          again();
        next_proposal(self);
      },
  };
}

} // namespace kai
