#pragma once

#include <compare>
#include <cstdint>
#include <optional>
#include <set>

#include "protocol/blob.hpp"
#include "protocol/version.hpp"

/// Single-decree Paxos (Lamport, "Paxos Made Simple", 2001), one instance per epoch: which topology
/// follows epoch `e` is decided once, by a majority of the members of `e`. Pure: the actor around
/// it stores an acceptor's state before it lets the answer go, and brings time and randomness.
namespace kai::paxos {

struct ballot {
  uint64_t round = 0;
  node_id proposer = 0;
  friend bool operator==(const ballot&, const ballot&) = default;
  friend auto operator<=>(const ballot&, const ballot&) = default;
};

struct accepted_value {
  ballot at;
  blob value;
  friend bool operator==(const accepted_value&, const accepted_value&) = default;
};

/// What an acceptor must not forget. One that did (an emptied node, a memory engine's after a
/// restart) has another node id than the topology's member of its name, and must not vote until a
/// topology names the new id: else two values can be decided.
struct vote {
  ballot promised;
  std::optional<accepted_value> accepted;
  friend bool operator==(const vote&, const vote&) = default;
};

void encode(byte_writer& out, const vote& x);
/// Fails `in` when the bytes are no vote, or one that no acceptor can have come to.
vote decode_vote(byte_reader& in);

/// Answer of an acceptor to either message. `granted` false: `state.promised` is as high or higher.
struct answer {
  bool granted = false;
  vote state;
  friend bool operator==(const answer&, const answer&) = default;
};

/// Prepare (phase 1) and accept (phase 2) at an acceptor with state `mine`, which they change when
/// they grant. Store `mine` before the answer leaves.
///
/// A ballot is promised at most once: a second prepare with the same ballot is refused. So a
/// proposer that restarted and forgot which ballots it used can not win a majority for one that it
/// used before (as long as answers to its former self do not reach it). Rounds start at 1. A
/// repeated accept of what was accepted is granted again.
answer prepare(vote& mine, const ballot& at);
answer accept(vote& mine, const ballot& at, const blob& value);

/// One attempt of a proposer. Feed it answers; it says when to go on.
class proposal {
public:
  /// `send_accept`, `decided` and `lost` are said once, when they become true.
  /// - `send_accept`: ask all voters to accept `value()` at `at()`.
  /// - `decided`: a majority accepted; the value is the one decision, whatever else happens.
  /// - `lost`: too many refused. After `send_accept` the value may still be decided, by another
  ///   attempt that finds it: only a later `decided` tells.
  enum class step { wait, send_accept, decided, lost };

  /// `voters`: how many members vote, the proposer included. Majority decides.
  proposal(ballot at, size_t voters, blob value);

  const ballot& at() const { return at_; }
  /// The value that phase 2 proposes: an accepted one found in phase 1, or ours.
  const blob& value() const { return value_; }
  /// Whether it is the value we came with.
  bool is_own_value() const { return own_; }

  /// An answer to phase 1 or 2 of the voter `from` (an index below `voters`); each counts once.
  /// Answers that are late, repeated, to another ballot or from nowhere change nothing; a grant
  /// counts even after a refusal of the same voter, which was of a repeated message then.
  step on_prepare_answer(size_t from, const answer& x);
  step on_accept_answer(size_t from, const answer& x);

  /// The highest ballot met, ours included: the next attempt must be above it.
  const ballot& highest_seen() const { return highest_; }

private:
  enum class phase { preparing, accepting, over };

  bool is_majority(size_t n) const { return n >= voters_ / 2 + 1; }
  bool concerns(phase now, size_t from, const answer& x);
  step refused_by(size_t from, const vote& state);

  ballot at_;
  size_t voters_;
  blob value_;
  bool own_ = true;
  phase phase_ = phase::preparing;
  ballot highest_;
  std::optional<ballot> adopted_;
  /// Who granted and who refused, in the current phase.
  std::set<size_t> granted_;
  std::set<size_t> refused_;
};

} // namespace kai::paxos
