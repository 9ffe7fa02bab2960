#include "actors/topology_age.hpp"

#include <algorithm>
#include <charconv>
#include <memory>

#include "protocol/limits.hpp"

namespace kai {

namespace {

using done_function = std::function<void(caf::error)>;

std::chrono::microseconds grace_of(const topology_state& st) {
  return std::chrono::duration_cast<std::chrono::microseconds>(st.context->options.storage.grace);
}

/// What the other members said of how long they were in use since.
struct inquiry {
  size_t open = 0;
  size_t answered = 0;
  uint64_t longest = 0;
};

void forget_data(topology_self self, const done_function& done) {
  auto& st = self->state;
  st.context->log.warning("the data is {} s old, and the others went on for longer than "
                          "storage.grace ({} s): it is dropped, and they refill this node",
                          (st.context->wall_clock() - st.context->used_until) / 1'000'000,
                          grace_of(st).count() / 1'000'000);
  auto open = std::make_shared<std::pair<size_t, caf::error>>(st.vnodes.size(), caf::error{});
  auto one = [open, done] {
    if (--open->first == 0)
      done(open->second);
  };
  for (auto& x : st.vnodes)
    self->request(x, caf::infinite, forget_atom::value, st.current.settings.partitions)
        .then([one](bool) { one(); },
              [open, one](caf::error& err) {
                open->second = std::move(err);
                one();
              });
}

void ask_all(topology_self self, const done_function& done);

void judge(topology_self self, const inquiry& x, const done_function& done) {
  auto& st = self->state;
  if (x.longest >= static_cast<uint64_t>(grace_of(st).count()))
    return forget_data(self, done);
  if (2 * (x.answered + 1) > st.current.members.size())
    return done(caf::none);
  st.context->log.warning(
      "the data is older than storage.grace, and only {} of {} members say "
      "whether they went on: waiting for a majority. If it is gone for good, start "
      "those that are left with a larger --storage.grace than they were off, "
      "and give up the others with `kai-admin remove NAME --force`",
      x.answered + 1, st.current.members.size());
  st.age_retry = [self, done] { ask_all(self, done); };
  self->delayed_send(self, limits::join_interval, tick_atom::value);
}

void ask_all(topology_self self, const done_function& done) {
  auto& st = self->state;
  auto x = std::make_shared<inquiry>();
  x->open = st.current.members.size();
  auto one = [self, x, done] {
    if (--x->open == 0)
      judge(self, *x, done);
  };
  auto failed = [one](const caf::error&) { one(); };
  for (auto& m : st.current.members) {
    if (m.name == st.context->name) {
      one();
      continue;
    }
    auto answered = [x, one](const std::string& text) {
      uint64_t used = 0;
      if (std::from_chars(text.data(), text.data() + text.size(), used).ec == std::errc{}) {
        ++x->answered;
        x->longest = std::max(x->longest, used);
      }
      one();
    };
    auto ask = [self, answered, failed](const gateway_actor& remote) {
      std::vector<std::string> arguments{std::to_string(self->state.context->used_until)};
      self->request(remote, limits::service_deadline, admin_atom::value, std::string{"used-since"},
                    std::move(arguments))
          .then(answered, failed);
    };
    self->request(st.dialer, limits::dial_deadline, dial_atom::value, m.cluster_address)
        .then(ask, failed);
  }
}

} // namespace

void settle_age(topology_self self, done_function done) {
  auto& context = *self->state.context;
  auto limit = static_cast<timestamp>(grace_of(self->state).count());
  if (context.used_until == 0 || context.wall_clock() < context.used_until + limit)
    return done(caf::none);
  ask_all(self, done);
}

} // namespace kai
