#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <caf/expected.hpp>
#include <caf/timespan.hpp>

#include "actors/node_options.hpp"
#include "protocol/messages.hpp"
#include "protocol/topology.hpp"

namespace kai {

/// Reads and writes records at the nodes of a cluster, with the calls that they make to each other.
/// Blocks; for one thread.
class cluster_client {
public:
  /// Does not connect yet. `patience`: how long one answer may take.
  cluster_client(host_port node, caf::timespan patience);
  ~cluster_client();

  /// Asks the node for its topology, and connects to the members that can be reached. To be called
  /// first, and again when calls fail with errc::not_owner.
  caf::error refresh();

  const topology& current() const;
  bool reaches(member_index x) const;
  /// Its answers count: it is not recovering, as far as the node asked knows.
  bool is_up(member_index x) const;

  /// The members' clock, as of their last answers.
  timestamp clock() const;

  using calls_to = std::vector<std::pair<member_index, call>>;
  /// Makes the calls, all at once, and waits for their answers, which come in the calls' order.
  /// Sets their ids, and `changed_at` by the topology. What is not answered in time failed with
  /// errc::timed_out, what can not be sent with errc::peer_down.
  std::vector<answer> ask(calls_to calls);

private:
  class impl;
  std::unique_ptr<impl> impl_;
};

} // namespace kai
