#include "actors/topology_seeds.hpp"

#include "protocol/limits.hpp"

namespace kai {

namespace {

using pointer = topology_self;

void on_join_failed(pointer self, const std::string& seed, const caf::error& err) {
  auto& st = self->state;
  auto why = message_of(err);
  auto now = self->home_system().clock().now();
  auto& known = st.join_errors[seed];
  if (why != known.text || now >= known.again) {
    st.context->log.warning("joining through {}: {}; trying again", seed, why);
    known = {why, now + limits::join_error_interval};
  }
  self->delayed_send(self, limits::join_interval, tick_atom::value);
}

void on_joined(pointer self, const std::string& seed, const std::string& text) {
  auto decided = decode_topology_blob(blob::copy_of(text));
  if (!decided)
    return on_join_failed(self, seed, decided.error());
  auto& st = self->state;
  // The answer may come late: what came after it stays, and so does the vote on what follows that.
  if (st.current.epoch != 0)
    return use_if_newer(self, encode_blob(*decided));
  warn_of_settings(st, decided->settings);
  if (!use(self, std::move(*decided)))
    return on_join_failed(self, seed,
                          failure(errc::storage_failed, "the topology can not be stored"));
  // It may have been let in before, and have crashed, and be elsewhere now.
  tell_own_entry(self);
}

} // namespace

void warn_of_settings(const topology_state& st, const cluster_settings& x) {
  if (x != settings_of(st.context->options))
    st.context->log.warning("the cluster was founded with N={} R={} W={} and {} partitions: these "
                            "count, not this node's options",
                            x.replicas, x.read_quorum, x.write_quorum, x.partitions);
}

namespace {

/// As a peer would introduce itself.
hello own_hello(const topology_state& st) {
  hello x;
  x.protocol = protocol_version;
  x.cluster_id = st.current.cluster_id;
  x.name = st.context->name;
  x.id = st.context->id;
  x.incarnation = st.context->incarnation;
  x.header = {st.context->now(), st.current.epoch};
  return x;
}

} // namespace

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

void tell_own_entry(pointer self) {
  auto& st = self->state;
  auto mine = own_member(st);
  if (!is_member(st) || !with_entry(st.current, mine))
    return;
  auto apply = [mine](const topology& now) { return with_entry(now, mine); };
  auto done = [self](const caf::expected<topology>& decided) {
    if (!decided)
      self->state.context->log.warning("where this node is now is not known to all members: {}",
                                       message_of(decided.error()));
  };
  topology_change change{"what " + mine.name + " says of itself", apply, done};
  change.subject = change.description;
  propose(self, std::move(change));
}

void look_for_twin(pointer self, std::function<void(caf::error)> done) {
  auto& st = self->state;
  auto known = st.current.find(st.context->name);
  if (!known || known->cluster_address == st.context->cluster_address)
    return done(caf::none);
  auto nobody = [done](const caf::error&) { done(caf::none); };
  auto answered = [self, done, where = known->cluster_address](const hello& x) {
    auto& mine = *self->state.context;
    if (x.name != mine.name || x.id != mine.id)
      return done(caf::none);
    done(failure(errc::bad_configuration,
                 "storage.directory: it is a copy of that of '" + x.name + "', who is alive at " +
                     where + ": stop that one, or start here with an empty directory"));
  };
  self->request(st.dialer, limits::dial_deadline, dial_atom::value, known->cluster_address)
      .then(
          [self, answered, nobody](const gateway_actor& remote) {
            self->request(remote, limits::hello_deadline, hello_atom::value, own_hello(self->state))
                .then(answered, nobody);
          },
          nobody);
}

cluster_settings settings_of(const node_options& options) {
  cluster_settings x;
  x.replicas = options.cluster.replicas;
  x.read_quorum = options.read_quorum_or_majority();
  x.write_quorum = options.write_quorum_or_majority();
  x.partitions = options.cluster.partitions;
  return x;
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

void check_seeds(pointer self) {
  auto& st = self->state;
  for (auto& seed : st.context->options.cluster.seeds) {
    if (st.current.find_at(seed))
      continue;
    // One that does not answer may come later.
    auto silent = [](const caf::error&) {};
    auto objects = [self, seed](const caf::error& err) {
      if (err == errc::incompatible)
        self->state.context->log.warning(
            "cluster.seeds: {}: {}; this node stays a member of the cluster that its data belongs "
            "to (storage.directory)",
            seed, message_of(err));
    };
    self->request(st.dialer, limits::dial_deadline, dial_atom::value, seed)
        .then(
            [self, objects](const gateway_actor& remote) {
              self->request(remote, limits::hello_deadline, hello_atom::value,
                            own_hello(self->state))
                  .then([](const hello&) {}, objects);
            },
            silent);
  }
}

} // namespace kai
