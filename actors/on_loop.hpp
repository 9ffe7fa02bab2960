#pragma once

#include <tuple>
#include <utility>

#include <caf/actor_system.hpp>
#include <caf/io/middleman.hpp>
#include <caf/scheduler/test_coordinator.hpp>
#include <caf/stateful_actor.hpp>
#include <caf/typed_event_based_actor.hpp>

namespace kai {

/// The I/O loop of an actor system; null under CAF's test scheduler, where there is none.
inline caf::io::network::multiplexer* loop_of(caf::actor_system& sys) {
  auto virtual_time = dynamic_cast<caf::scheduler::test_coordinator*>(&sys.scheduler());
  return sys.has_middleman() && !virtual_time ? &sys.middleman().backend() : nullptr;
}

/// Puts an event-based actor on the I/O loop of its actor system: its messages run there, between
/// the socket events, and never wait for another thread. What is on a request's path and never
/// blocks runs so (a hop between threads halves unpipelined throughput). Under CAF's test scheduler
/// it is an ordinary actor.
template <class Base>
class on_io_loop : public Base {
public:
  template <class... Ts>
  explicit on_io_loop(caf::actor_config& cfg, Ts&&... xs)
      : Base(cfg, std::forward<Ts>(xs)...), loop_(loop_of(this->home_system())) {}

  caf::resumable::subtype_t subtype() const override {
    return loop_ ? caf::resumable::io_actor : Base::subtype();
  }

  void enqueue(caf::mailbox_element_ptr what, caf::execution_unit* host) override {
    caf::scheduled_actor::enqueue(std::move(what), loop_ ? loop_ : host);
  }
  using Base::enqueue;

  void launch(caf::execution_unit* host, bool lazy, bool hide) override {
    Base::launch(loop_ ? loop_ : host, lazy, hide);
  }

private:
  caf::execution_unit* loop_;
};

/// Gives a function-based typed behaviour its place on the loop.
template <class Handle, class State, class... Args>
class loop_actor final : public on_io_loop<caf::stateful_actor<State, typename Handle::base>> {
public:
  // CAF passes `self` to a state that can be constructed from it, which in C++20 is any aggregate
  // whose first member happens to take it.
  static_assert(!std::is_aggregate_v<State>, "declare the state's default constructor");
  using super = on_io_loop<caf::stateful_actor<State, typename Handle::base>>;
  using pointer = caf::stateful_actor<State, typename Handle::base>*;
  using function = typename Handle::behavior_type (*)(pointer, Args...);

  template <class... Ts>
  loop_actor(caf::actor_config& cfg, function f, Ts&&... xs)
      : super(cfg), function_(f), arguments_(std::forward<Ts>(xs)...) {}

  typename Handle::behavior_type make_behavior() override {
    return std::apply(
        [this](Args&... xs) { return function_(static_cast<pointer>(this), std::move(xs)...); },
        arguments_);
  }

private:
  function function_;
  std::tuple<Args...> arguments_;
};

/// Spawns `f(self, xs...)` on the loop of `sys`.
template <class Handle, class State, class... Args, class... Ts>
Handle spawn_on_loop(caf::actor_system& sys,
                     typename Handle::behavior_type (*f)(
                         caf::stateful_actor<State, typename Handle::base>*, Args...),
                     Ts&&... xs) {
  caf::actor_config cfg;
  return sys.spawn_class<loop_actor<Handle, State, Args...>, caf::no_spawn_options>(
      cfg, f, std::forward<Ts>(xs)...);
}

} // namespace kai
