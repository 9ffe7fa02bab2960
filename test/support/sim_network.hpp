#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include <caf/actor_system.hpp>
#include <caf/timespan.hpp>

#include "actors/interfaces.hpp"

namespace kai::test {

/// How long messages take between nodes.
struct sim_delays {
  /// Each pair of nodes, in each direction, has a distance of its own in this range.
  caf::timespan distance_min = std::chrono::microseconds{50};
  caf::timespan distance_max = std::chrono::microseconds{600};
  /// On top, per message: up to this, and once in `spike_every` messages up to `spike_max`.
  caf::timespan jitter_max = std::chrono::microseconds{400};
  caf::timespan spike_max = std::chrono::milliseconds{20};
  uint32_t spike_every = 60;
};

/// The network between simulated nodes: stands for CAF's remoting. Whoever dials a node gets a link
/// actor in the place of a proxy of that node's gateway. A link is a TCP connection: each direction
/// delivers in order, after a delay chosen by seed, and what is sent over different links overtakes
/// freely. Everything crosses as bytes.
///
/// Lives longer than every actor that uses it; used by one thread.
class sim_network {
public:
  sim_network(caf::actor_system& sys, size_t nodes, uint64_t seed, const sim_delays& delays);

  /// Where `node` can be reached; null: nobody listens any more.
  void listen(size_t node, std::string address, gateway_actor gateway);
  /// Through this, `node` reaches the others.
  dialer_actor dialer_of(size_t node);

  /// Connections between the two close, and none can be opened until `heal`.
  void cut(size_t a, size_t b);
  void heal(size_t a, size_t b);
  /// What `from` sends to `to` stays on its way until `resume`: nobody is told.
  void pause(size_t from, size_t to);
  void resume(size_t from, size_t to);
  /// Of what `from` sends to `to`, one message in `every` is lost on the way and takes the
  /// connection with it, as a reset would. 0: none.
  void lose(size_t from, size_t to, uint32_t every);
  /// No more bytes of calls and answers get from `from` to `to`. 0: any.
  void narrow(size_t from, size_t to, uint64_t bytes_per_second);
  /// All connections of `node` close.
  void disconnect(size_t node);
  /// Ends every actor of the network.
  void shut_down();

  /// Everything that was delivered, hashed in its order: equal for equal runs.
  uint64_t trace() const { return trace_; }
  uint64_t messages() const { return messages_; }
  uint64_t bytes() const { return bytes_; }

  // --- for links and dialers

  bool is_cut(size_t from, size_t to) const { return paths_[from * nodes_ + to].cut; }
  bool is_paused(size_t from, size_t to) const { return paths_[from * nodes_ + to].paused; }
  caf::timespan delay(size_t from, size_t to);
  caf::timespan time_to_send(size_t from, size_t to, size_t bytes);
  bool loses(size_t from, size_t to);
  void record(const std::vector<char>& bytes);
  /// Who dialed the link, by its actor's id, says hello through it.
  void note_client(caf::actor_id link, caf::actor_id client) { clients_[link] = client; }
  caf::actor_id client_of(caf::actor_id link) const;
  caf::expected<gateway_actor> connect(size_t from, const std::string& address);

private:
  struct path {
    caf::timespan distance{0};
    bool cut = false;
    bool paused = false;
    uint32_t loses_one_in = 0;
    uint64_t bytes_per_second = 0;
  };
  struct listener {
    std::string address;
    gateway_actor gateway;
  };
  struct link {
    size_t from;
    size_t to;
    caf::actor handle;
  };

  path& between(size_t from, size_t to) { return paths_[from * nodes_ + to]; }
  void close_links(const std::function<bool(const link&)>& which);

  caf::actor_system& system_;
  size_t nodes_;
  sim_delays delays_;
  std::mt19937_64 random_;
  std::vector<path> paths_;
  std::vector<listener> listeners_;
  std::vector<dialer_actor> dialers_;
  std::vector<link> links_;
  std::map<caf::actor_id, caf::actor_id> clients_;
  uint64_t trace_ = 0;
  uint64_t messages_ = 0;
  uint64_t bytes_ = 0;
};

} // namespace kai::test
