#pragma once

#include <string>
#include <type_traits>
#include <vector>

#include <caf/actor_cast.hpp>
#include <caf/actor_system.hpp>
#include <caf/actor_system_config.hpp>
#include <caf/scheduler/test_coordinator.hpp>
#include <caf/scoped_actor.hpp>
#include <caf/stateful_actor.hpp>

#include "actors/io_loop.hpp"

namespace kai {

/// An actor system without threads and with a clock that only tests move: what happens, and in
/// which order, depends on nothing but the test.
class virtual_time {
public:
  virtual_time();
  /// Ends what `own` was given.
  ~virtual_time();
  virtual_time(const virtual_time&) = delete;
  virtual_time& operator=(const virtual_time&) = delete;

  /// Until nobody has anything to do now.
  void run();
  /// Lets time pass in steps that are shorter than any interval of kai, and runs after each.
  void advance(caf::timespan x);
  /// Microseconds since 1970, as nodes see them.
  timestamp wall_now() const;

  /// A node's context that logs nothing but errors.
  context_ptr make_context(const std::string& name);

  /// Ends `x` with the fixture.
  template <class Handle>
  Handle own(Handle x) {
    owned_.push_back(caf::actor_cast<caf::strong_actor_ptr>(x));
    return x;
  }

  /// An actor of any behaviour in the place of a typed one.
  template <class Handle, class Function>
  Handle fake(Function f) {
    auto run = [](caf::event_based_actor* self, const Function& f) -> caf::behavior {
      return f(self);
    };
    auto x = sys.spawn(run, f);
    return caf::actor_cast<Handle>(own(caf::actor_cast<caf::strong_actor_ptr>(x)));
  }

  /// What came for `self` of type T, taken out of its mailbox; anything else there is an error.
  template <class T>
  std::vector<T> received() {
    std::vector<T> result;
    while (self->has_next_message())
      self->receive([&](T& x) { result.push_back(std::move(x)); });
    return result;
  }

  /// Sends a request, runs, and gives the answer.
  template <class T, class Handle, class... Ts>
  caf::expected<T> ask(const Handle& to, Ts&&... xs) {
    auto pending = self->request(to, caf::infinite, std::forward<Ts>(xs)...);
    run();
    caf::expected<T> result{caf::error{}};
    pending.receive([&](T& x) { result = std::move(x); },
                    [&](caf::error& x) { result = std::move(x); });
    return result;
  }

private:
  struct config : caf::actor_system_config {
    config();
  };
  config config_;

public:
  caf::actor_system sys;
  caf::scheduler::test_coordinator& scheduler;
  /// The test itself.
  caf::scoped_actor self;

private:
  std::vector<caf::strong_actor_ptr> owned_;
};

/// The inside of an actor, for what can not be seen from outside.
template <class State, class Handle>
State& state_of(const Handle& x) {
  auto base = caf::actor_cast<caf::abstract_actor*>(x);
  return dynamic_cast<caf::stateful_actor<State, typename Handle::base>&>(*base).state;
}

} // namespace kai
