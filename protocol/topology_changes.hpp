#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "protocol/topology.hpp"

/// How a topology becomes the next one when members come, go and are replaced. All functions are
/// pure, start from a valid topology (else that is the error) and give a valid one, one epoch
/// higher. errc::refused with the reason: the change can not be made as things are.
///
/// A partition changes hands in two steps, each an epoch: it gets a target list beside the list in
/// force (`partition_move`), and once enough of the target hold what the list in force holds, the
/// target is the list in force. See README.md for why nothing is lost or missed on the way.
namespace kai {

/// Whom the member that is asked for a change reaches; per member of the topology.
struct reachability {
  /// Itself included.
  std::vector<bool> alive;
  /// Not alive for it, but perhaps for others: none of these has said that it does not reach it.
  std::vector<bool> unsure;
};

/// That the member may be alive for others, who can be asked; none: it is alive, or dead.
caf::error doubt_of(const topology& now, const std::string& name, const reachability& who);

/// Why the member `asked` does not take `newcomer` in; none: it may be tried. One with the name of
/// a member is to take the place of a dead one.
caf::error objection_to(const topology& now, const member& newcomer, const std::string& asked,
                        const reachability& who);

/// `now` with `newcomer`, which is `arriving`, then `joining` until the partitions that are meant
/// for it are there. One with the name of a member takes that member's place: its lists stay while
/// the zone is the same, and it is refilled.
caf::expected<topology> with_member(const topology& now, member newcomer);

/// `now` with what a member, by name and id, says of itself: its addresses, and its zone, for which
/// replicas are planned anew. Who was known to be at its address is not, for this one listens
/// there, and gets its former one: addresses stay unique. Refused where all of it is known.
caf::expected<topology> with_entry(const topology& now, const member& entry);

/// `now` with the member on its way out, which hands over what it has. `alive`: per member. Refused
/// while it is down, for it can not; and, unless forced, where fewer members than W would stay.
caf::expected<topology> with_leaving(const topology& now, const std::string& name,
                                     const std::vector<bool>& alive, bool forced);

/// `now` with a dead member on its way out. `alive`: per member. Refused while it is alive; and,
/// unless forced, where a partition has so few other live replicas that an acknowledged write may
/// be at none of them. Forced, what only the member had is given up: it is out at once.
caf::expected<topology> with_removed(const topology& now, const std::string& name,
                                     const std::vector<bool>& alive, bool forced);

/// `now` with whoever comes or goes sent back: targets are dropped, members that left or were
/// removed stay, and those that join leave again, as others do. Refused when nothing is under way.
caf::expected<topology> with_changes_undone(const topology& now);

/// How many of the list in force of a partition on its way have to be found equal with a member of
/// its target before that counts as filled: so many that every write that W of the list
/// acknowledged is at one of them, and that the others are too few for a read quorum of the time
/// before. Members that were removed are not counted on.
size_t sources_needed(const topology& now, partition_id partition);

/// What a member says of the partitions on their way to it.
struct fill_report {
  bool alive = false;
  /// Hints it holds for others.
  uint64_t hints = 0;
  /// Members of epoch `epoch` that it has a connection to, itself included.
  uint64_t epoch = 0;
  std::vector<member_index> sees;
  /// Those where it holds what the list in force holds, each with the `changed_at` for which that
  /// was found.
  std::vector<std::pair<partition_id, uint64_t>> filled;
};

/// `now` with moves planned for those that arrived, the targets in force that are filled, members
/// that have all that was meant for them `up`, and those out that hold nothing any more; of one
/// that leaves, it has to say so itself. nullopt: nothing to do yet. `reports`: per member.
std::optional<topology> with_filled(const topology& now, const std::vector<fill_report>& reports);

/// How many members are not on their way out.
size_t staying(const topology& x);

/// Whether no change of members is under way.
bool at_rest(const topology& x);

/// For people, one line: what the topology waits for; empty when no change is under way.
std::string change_under_way(const topology& now);

} // namespace kai
