#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "protocol/quorum.hpp"
#include "protocol/time_budget.hpp"
#include "protocol/topology.hpp"

/// Who does whose work while members are down. Everything here chooses from a key's order of
/// preference (topology::preferences: the replicas, then the fallbacks) and from who is alive.
namespace kai {

/// The member that leads a write: the first live replica that was not `tried`. A write that is
/// `always_writable` goes to a fallback where no replica is left; `preference` holds all members
/// then, and only the replicas else. nullopt: nobody is left.
std::optional<member_index> choose_leader(std::span<const member_index> preference,
                                          const std::vector<bool>& alive,
                                          const per_place<member_index>& tried);

/// Whether W nodes can be reached at all.
bool enough_alive(const std::vector<bool>& alive, size_t write_quorum);

/// Whether a write of a key with these replicas may be led. Who can not reach W nodes, as one that
/// was stopped and has no connection yet, leaves it to others before anything has happened. So does
/// one that would have to count hints in the place of replicas that are `unsure`, which only this
/// node does not reach, as far as it knows: the others may, and their reads would miss the write.
bool may_begin(std::span<const member_index> replicas, const std::vector<bool>& alive,
               const std::vector<bool>& unsure, size_t write_quorum);

/// A member that was asked to lead a write, and fell silent or answered that it has failed.
struct lost_leader {
  /// It went away, or did not answer in time.
  bool silent = false;
  /// It has certainly not changed anything, and will not.
  bool unchanged = false;
  /// The write may happen twice.
  bool repeatable = false;
  /// Other writers of the key were faster.
  bool contended = false;
  /// No other leader is left.
  bool last = false;
  /// Until when it may decide.
  decision_time decides;
  /// Of the node that asked it, which has heard the answer: the cluster's clock, and the wall
  /// clock.
  timestamp now = 0;
  timestamp wall_now = 0;
};

/// How the next leader is asked for the write.
struct next_attempt {
  std::chrono::microseconds wait{0};
  /// See lead_call: above what the last one may have decided or may decide yet, and without a look
  /// at what is there; or, where only the time for a look is over, above everything so far. 0: it
  /// is asked as the first one was.
  timestamp above = 0;
  /// Those that were asked before may be asked.
  bool all_again = false;
};

/// nullopt: the write fails. `elapsed`: see time_budget.
std::optional<next_attempt> ask_next_leader(const lost_leader& x, const time_budget& time,
                                            time_budget::time elapsed);

/// A replica whose connection broke while it was asked to store something, looked at once more by
/// what the node knows now.
struct lost_replica {
  /// Under the lists that the write went by.
  bool same_lists = true;
  bool alive = false;
  /// Not alive here, but perhaps for others: see cluster_view::unsure.
  bool unsure = false;
  /// This is not the first look.
  bool waited = false;
  /// One more call can be answered in time.
  bool time = true;
};

enum class lost_step : uint8_t {
  /// It is down for others, too: a hint counts in its place.
  count_hint,
  /// It may be there for others, whose reads would miss what only a hint has: none counts.
  count_nothing,
  wait,
  ask_again
};

lost_step next_step(const lost_replica& x);

/// The members that stand in for the replicas of one write that are down: the live fallbacks in
/// their order, each once, for a write needs W different nodes.
class stand_ins {
public:
  /// nullopt: there is none left.
  std::optional<member_index> next(std::span<const member_index> preference, size_t replicas,
                                   const std::vector<bool>& alive);

private:
  uint16_t passed_ = 0;
};

/// Where a hint goes now.
struct hint_route {
  /// Empty: it waits.
  per_place<member_index> to;
  /// So many of them have to take it before it is dropped.
  size_t needed = 0;
};

/// A hint goes to the replica that it is for, once that is alive. Where that is no replica of the
/// partition any more, or no member, it may still be one of the W copies that were promised: W of
/// the replicas there are now take it, and sync does the rest.
hint_route route_hint(std::optional<member_index> target, std::span<const member_index> replicas,
                      const std::vector<bool>& alive, size_t write_quorum);

/// HOST:PORT at which a member is looked for at the `attempt`-th try, from 0 on: where it was
/// `last`, in turns with those `seeds` at which neither a member is known to be nor this node is
/// (`own`). It may have come back there, and everybody else too. `known`: the node's topology, or
/// null.
std::string address_to_try(const std::string& last, std::span<const std::string> seeds,
                           const std::string& own, const topology* known, size_t attempt);

} // namespace kai
