#include "test/support/sim_network.hpp"

#include <algorithm>
#include <deque>

#include <caf/binary_deserializer.hpp>
#include <caf/binary_serializer.hpp>
#include <caf/raise_error.hpp>
#include <caf/send.hpp>
#include <caf/stateful_actor.hpp>
#include <caf/typed_event_based_actor.hpp>
#include <caf/typed_response_promise.hpp>
#include <xxhash.h>

#include "protocol/limits.hpp"

namespace kai::test {

namespace {

/// The gateway's interface, and what a gateway's answers need on their way back.
using link_actor = gateway_actor::extend<
    // gateways and vnodes of the far node
    caf::reacts_to<answer_batch>,
    // itself: the next message of a direction arrives (true: towards the far node)
    caf::reacts_to<tick_atom, bool>,
    // sim_network: a direction goes on
    caf::reacts_to<turn_atom, bool>>;

struct link_state {
  static inline const char* name = "sim.link";
  link_state() = default;

  struct direction {
    /// What to do when each message arrives.
    std::deque<std::function<void()>> under_way;
    caf::actor_clock::time_point last;
    /// When all bytes sent so far have left.
    caf::actor_clock::time_point sent;
    /// Messages whose time has come while the direction was paused.
    size_t held = 0;
  };

  sim_network* network = nullptr;
  size_t near = 0;
  size_t far = 0;
  gateway_actor gateway;
  /// Who dialed, known from its first message.
  caf::strong_actor_ptr client;
  direction there;
  direction back;
};

using pointer = link_actor::stateful_pointer<link_state>;

/// The bytes of `x` and back, as over a socket; `size`: how many there are.
template <class T>
T through_bytes(pointer self, T& x, size_t* size = nullptr) {
  std::vector<char> bytes;
  caf::binary_serializer sink{self->system(), bytes};
  if (auto err = sink(x))
    CAF_RAISE_ERROR("a message between nodes can not be serialized");
  self->state.network->record(bytes);
  if (size)
    *size = bytes.size();
  T result;
  caf::binary_deserializer source{self->system(), bytes};
  if (auto err = source(result))
    CAF_RAISE_ERROR("a message between nodes can not be deserialized");
  return result;
}

/// Calls `arrive` when a message of so many bytes sent now gets there. In order, per direction.
void travel(pointer self, bool there, size_t bytes, std::function<void()> arrive) {
  auto& st = self->state;
  auto from = there ? st.near : st.far;
  auto to = there ? st.far : st.near;
  if (st.network->loses(from, to)) {
    self->quit(caf::exit_reason::remote_link_unreachable);
    return;
  }
  auto& way = there ? st.there : st.back;
  auto now = self->home_system().clock().now();
  way.sent = std::max(way.sent, now) + st.network->time_to_send(from, to, bytes);
  way.last = std::max(way.last, way.sent + st.network->delay(from, to));
  way.under_way.push_back(std::move(arrive));
  self->delayed_send(self, way.last - now, tick_atom::value, there);
}

void arrive(pointer self, bool there) {
  auto& st = self->state;
  auto& way = there ? st.there : st.back;
  if (st.network->is_paused(there ? st.near : st.far, there ? st.far : st.near) || way.held > 0) {
    ++way.held;
    return;
  }
  auto next = std::move(way.under_way.front());
  way.under_way.pop_front();
  next();
}

void go_on(pointer self, bool there) {
  auto& way = there ? self->state.there : self->state.back;
  for (auto n = std::exchange(way.held, 0); n > 0; --n)
    arrive(self, there);
}

/// A request to the gateway, and its answer. `x...` have crossed already.
template <class Result, class... Ts>
caf::typed_response_promise<Result> ask(pointer self, Ts... xs) {
  auto promise = self->template make_response_promise<Result>();
  travel(self, true, 0, [self, promise, xs...]() mutable {
    self->request(self->state.gateway, limits::join_deadline, xs...)
        .then(
            [self, promise](Result& x) mutable {
              auto crossed = through_bytes(self, x);
              travel(self, false, 0,
                     [promise, crossed]() mutable { promise.deliver(std::move(crossed)); });
            },
            [self, promise](caf::error& err) mutable {
              travel(self, false, 0, [promise, err]() mutable { promise.deliver(std::move(err)); });
            });
  });
  return promise;
}

link_actor::behavior_type carry(pointer self, sim_network* network, size_t near, size_t far,
                                gateway_actor gateway) {
  auto& st = self->state;
  st.network = network;
  st.near = near;
  st.far = far;
  st.gateway = std::move(gateway);
  return {
      [self](const hello_atom&, hello& x) {
        auto& st = self->state;
        st.client = caf::actor_cast<caf::strong_actor_ptr>(self->current_sender());
        st.network->note_client(self->id(), st.client->id());
        return ask<hello>(self, hello_atom::value, through_bytes(self, x));
      },
      [self](call_batch& x) {
        auto& st = self->state;
        st.client = caf::actor_cast<caf::strong_actor_ptr>(self->current_sender());
        // The near node knows who asked it by another link.
        x.answers_for = st.network->client_of(x.answers_for);
        size_t size = 0;
        auto crossed = through_bytes(self, x, &size);
        travel(self, true, size, [self, crossed = std::move(crossed)]() mutable {
          self->send(self->state.gateway, std::move(crossed));
        });
      },
      [self](admin_atom, std::string& command, std::vector<std::string>& arguments) {
        return ask<std::string>(self, admin_atom::value, through_bytes(self, command),
                                through_bytes(self, arguments));
      },
      [self](answer_batch& x) {
        size_t size = 0;
        auto crossed = through_bytes(self, x, &size);
        travel(self, false, size, [self, crossed = std::move(crossed)]() mutable {
          self->send(caf::actor_cast<answer_batch_sink>(self->state.client), std::move(crossed));
        });
      },
      [self](tick_atom, bool there) { arrive(self, there); },
      [self](turn_atom, bool there) { go_on(self, there); },
  };
}

struct dialer_state {
  static inline const char* name = "sim.dialer";
  dialer_state() = default;
};

dialer_actor::behavior_type dialer(dialer_actor::stateful_pointer<dialer_state>,
                                   sim_network* network, size_t node) {
  return {
      [network, node](dial_atom, const std::string& address) -> caf::result<gateway_actor> {
        auto link = network->connect(node, address);
        if (!link)
          return link.error();
        return *link;
      },
  };
}

} // namespace

sim_network::sim_network(caf::actor_system& sys, size_t nodes, uint64_t seed,
                         const sim_delays& delays)
    : system_(sys), nodes_(nodes), delays_(delays), random_(seed), paths_(nodes * nodes),
      listeners_(nodes) {
  auto range = static_cast<uint64_t>((delays_.distance_max - delays_.distance_min).count()) + 1;
  for (auto& x : paths_)
    x.distance = delays_.distance_min + caf::timespan{static_cast<int64_t>(random_() % range)};
  for (size_t i = 0; i < nodes; ++i)
    dialers_.push_back(system_.spawn(dialer, this, i));
}

void sim_network::listen(size_t node, std::string address, gateway_actor gateway) {
  listeners_[node] = {std::move(address), std::move(gateway)};
}

dialer_actor sim_network::dialer_of(size_t node) { return dialers_[node]; }

caf::expected<gateway_actor> sim_network::connect(size_t from, const std::string& address) {
  auto to = std::find_if(listeners_.begin(), listeners_.end(),
                         [&](auto& x) { return x.gateway && x.address == address; });
  if (to == listeners_.end())
    return failure(errc::peer_down, address + ": nobody listens");
  auto index = static_cast<size_t>(to - listeners_.begin());
  if (between(from, index).cut)
    return failure(errc::peer_down, address + ": no route");
  auto handle = system_.spawn(carry, this, from, index, to->gateway);
  links_.push_back({from, index, caf::actor_cast<caf::actor>(handle)});
  return gateway_actor{handle};
}

void sim_network::close_links(const std::function<bool(const link&)>& which) {
  std::erase_if(links_, [&](const link& x) {
    auto closes = which(x);
    if (closes)
      caf::anon_send_exit(x.handle, caf::exit_reason::remote_link_unreachable);
    return closes;
  });
}

void sim_network::cut(size_t a, size_t b) {
  between(a, b).cut = between(b, a).cut = true;
  close_links(
      [&](const link& x) { return (x.from == a && x.to == b) || (x.from == b && x.to == a); });
}

void sim_network::heal(size_t a, size_t b) { between(a, b).cut = between(b, a).cut = false; }

void sim_network::pause(size_t from, size_t to) { between(from, to).paused = true; }

void sim_network::resume(size_t from, size_t to) {
  between(from, to).paused = false;
  for (auto& x : links_)
    if ((x.from == from && x.to == to) || (x.from == to && x.to == from))
      caf::anon_send(caf::actor_cast<link_actor>(x.handle), turn_atom::value, x.from == from);
}

void sim_network::lose(size_t from, size_t to, uint32_t every) {
  between(from, to).loses_one_in = every;
}

void sim_network::narrow(size_t from, size_t to, uint64_t bytes_per_second) {
  between(from, to).bytes_per_second = bytes_per_second;
}

void sim_network::disconnect(size_t node) {
  close_links([&](const link& x) { return x.from == node || x.to == node; });
}

void sim_network::shut_down() {
  close_links([](const link&) { return true; });
  for (auto& x : dialers_)
    caf::anon_send_exit(x, caf::exit_reason::user_shutdown);
  dialers_.clear();
  listeners_.assign(nodes_, {});
}

caf::timespan sim_network::delay(size_t from, size_t to) {
  auto up_to = [this](caf::timespan x) {
    return caf::timespan{static_cast<int64_t>(random_() % (static_cast<uint64_t>(x.count()) + 1))};
  };
  auto result = between(from, to).distance + up_to(delays_.jitter_max);
  if (delays_.spike_every != 0 && random_() % delays_.spike_every == 0)
    result += up_to(delays_.spike_max);
  return result;
}

caf::timespan sim_network::time_to_send(size_t from, size_t to, size_t bytes) {
  auto rate = between(from, to).bytes_per_second;
  return caf::timespan{rate == 0 ? 0 : static_cast<int64_t>(bytes * 1'000'000'000 / rate)};
}

bool sim_network::loses(size_t from, size_t to) {
  auto every = between(from, to).loses_one_in;
  return every != 0 && random_() % every == 0;
}

caf::actor_id sim_network::client_of(caf::actor_id link) const {
  auto i = clients_.find(link);
  return i != clients_.end() ? i->second : 0;
}

void sim_network::record(const std::vector<char>& bytes) {
  ++messages_;
  bytes_ += bytes.size();
  trace_ = XXH3_64bits_withSeed(bytes.data(), bytes.size(), trace_);
}

} // namespace kai::test
