#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "protocol/progress.hpp"
#include "protocol/topology_changes.hpp"

/// What kai-admin is told of changes of members: pure functions to documents (the outer interface).
namespace kai {

/// The change that words like "leave NAME" mean, applied to `now`. `alive`: per member.
/// errc::refused with the reason.
caf::expected<topology> changed_by(const topology& now, const std::vector<std::string>& change,
                                   const std::vector<bool>& alive);

/// What a cluster holds, as far as its members say.
struct holdings {
  uint64_t replicas = 0;
  uint64_t keys = 0;
  uint64_t bytes = 0;
};

/// What a change from `now` to `next` moves, who holds how much then, and what is wrong with it.
nlohmann::ordered_json plan_document(const topology& now, const topology& next,
                                     const holdings& held);

/// What a member's report says of the partitions on their way to it.
struct arrivals {
  /// Of the topology that it goes by.
  uint64_t epoch = 0;
  /// How far they are, 1: filled. It names all that are still to arrive by that topology.
  std::map<partition_id, double> done;
  uint64_t bytes_per_second = 0;

  /// How far the partition is by this, for one who goes by the topology of epoch `now`: one that is
  /// not named has arrived where the member is ahead, and is not known to it where it is behind.
  double share(partition_id partition, uint64_t now) const;
};

/// From a member's report; what is no such thing says nothing.
arrivals arrivals_in(const nlohmann::ordered_json& report);

/// One entry per member that a partition is on its way to: {"partition", "from", "to", "done"};
/// `from` is null where the partition only gets one more replica. `reports`: per member.
nlohmann::ordered_json moves_document(const topology& now, const std::vector<arrivals>& reports);

/// How far all of them are together, {"partitions", "done", "bytes_per_second",
/// "remaining_seconds"}, the last null while nothing is done; null when nothing is on its way.
/// `past` has seen `now`; `time`: by its clock.
nlohmann::ordered_json progress_document(const topology& now, const std::vector<arrivals>& reports,
                                         const change_progress& past,
                                         change_progress::duration time);

/// That keys have fewer replicas than the cluster was founded for, or replicas that share a zone;
/// empty: neither.
std::string copies_warning(const topology& x);

} // namespace kai
