#pragma once

#include <chrono>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include <netdb.h>

#include <caf/stateful_actor.hpp>
#include <caf/typed_event_based_actor.hpp>
#include <caf/typed_response_promise.hpp>

#include "actors/interfaces.hpp"

namespace kai {

/// The dialer as it talks to itself.
using looking_dialer_actor = dialer_actor::extend<
    // goes on with the looks under way
    caf::reacts_to<tick_atom>>;

struct dialer_state {
  static inline const char* name = "kai.dialer";
  dialer_state() = default;

  /// Whether somebody accepts at an address.
  struct look {
    std::string address;
    std::unique_ptr<addrinfo, decltype(&freeaddrinfo)> found{nullptr, &freeaddrinfo};
    /// Of `found`, the one that is tried; null: none is left.
    const addrinfo* at = nullptr;
    /// A connection that is being opened; closed with the look.
    std::shared_ptr<const int> connecting;
    caf::actor_clock::time_point until;
    /// Why nobody did so far.
    std::string why;
    caf::typed_response_promise<gateway_actor> promise;
  };

  std::chrono::milliseconds patience{0};
  std::vector<look> looks;
};

/// Opens connections to other nodes. CAF connects with a blocking system call in its one middleman
/// actor, where an address that swallows packets would stop every other connect: so this looks
/// first whether somebody accepts, within a bounded time, and lets CAF connect only then. It looks
/// at all addresses that it is asked for at once: many that swallow packets delay no other.
///
/// Spawned by node, one; runs detached, because name look-up blocks, and so does waiting for the
/// looks. Lives as long as the node. `patience`: how long a connection that a look opens may take.
looking_dialer_actor::behavior_type
dialer(looking_dialer_actor::stateful_pointer<dialer_state> self,
       std::chrono::milliseconds patience);

/// The nodes of a process that talk to each other without a connection: by their cluster addresses.
/// May be used from any thread.
class neighbours {
public:
  void add(const std::string& address, gateway_actor gateway);
  void remove(const std::string& address);
  /// Null: no node of this process listens there.
  gateway_actor find(const std::string& address);

private:
  std::mutex mutex_;
  std::map<std::string, gateway_actor> gateways_;
};

/// For peers of a node that has neighbours: hands out their gateways themselves, and asks `network`
/// for those of all others. Only actors on an I/O loop may talk to a gateway of another actor
/// system, and be answered: they run on their own loop whoever sends to them, where others run on
/// the sender's threads.
///
/// Spawned by node; runs on the scheduler. Lives as long as the node.
dialer_actor::behavior_type neighbour_dialer(dialer_actor::pointer self,
                                             std::shared_ptr<neighbours> others,
                                             dialer_actor network);

} // namespace kai
