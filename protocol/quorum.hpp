#pragma once

#include <cstdint>
#include <string>

#include <boost/container/small_vector.hpp>

#include "protocol/limits.hpp"
#include "protocol/messages.hpp"
#include "protocol/version.hpp"

/// The rules of N, R and W as pure state machines: answers in, what to do out. A *place* is a
/// position in the key's preference list, 0 to N-1 (more while its partition moves); a node that
/// stands in for a replica answers in its place.
namespace kai {

/// Up to limits::places_max; without an allocation for the usual N of 3, also while a partition
/// moves.
template <class T>
using per_place = boost::container::small_vector<T, 6>;

/// What an operation needs: so many of the replicas in force and, while the partition moves, so
/// many of those to come. A place may count for both.
struct quorum_rule {
  /// The first `replicas` places are those in force.
  uint8_t replicas = 0;
  uint8_t needed = 0;
  uint8_t target_needed = 0;
  /// Of both.
  uint8_t places = 0;
  /// A bit set of places; 0: the partition does not move.
  uint32_t target = 0;

  quorum_rule(size_t n, size_t quorum)
      : replicas(static_cast<uint8_t>(n)), needed(static_cast<uint8_t>(quorum)),
        places(static_cast<uint8_t>(n)) {}

  bool in_force(size_t place) const { return place < replicas; }
  bool in_target(size_t place) const { return (target >> place & 1) != 0; }
};

/// One read: asks one place for the record and the others for its digest, and replies when R
/// replicas that are caught up hold the same.
///
/// Where they differ it fetches and merges what differs, and *writes the merged record back to R
/// replicas before it replies*: a write that is on its way may be seen by this read only if no
/// later read can miss it (Attiya, Bar-Noy, Dolev, 1995). Those still behind when all have answered
/// are repaired after the reply.
///
/// While the partition moves, the replicas in force say what there is, and R of those to come have
/// to hold it as well before the reply: whoever reads there later must not see less. Whether these
/// have caught up does not matter then.
class read_core {
public:
  /// What the caller has to do after an input, as bit sets of places.
  struct todo {
    /// Ask these for their record.
    uint32_t fetch = 0;
    /// Send these `result()` to store.
    uint32_t store = 0;
    /// Answer the client now: with `result()`, or with `failure()` when `failed()`. At most once.
    bool reply = false;
  };

  /// `record_place`, one in force, is asked for the record, the others for digests.
  read_core(const quorum_rule& rule, size_t record_place);

  todo on_record(size_t place, std::string_view key, record_answer x);
  todo on_digest(size_t place, const digest_answer& x);
  /// The merged record is stored there. `shadowed`: beside one that wins over it and was not seen,
  /// so the place is asked once more. Answered with what has lost already, somebody would read it
  /// after a decision that was made without it.
  todo on_stored(size_t place, bool shadowed = false);
  /// A read, fetch or store came to nothing.
  todo on_failure(size_t place, const failed_answer& x);
  /// The record takes long to come: another place is asked for it.
  todo on_late();

  const record& result() const { return merged_; }
  record take_result() { return std::move(merged_); }
  bool failed() const { return failed_; }
  failed_answer failure() const;
  /// No answer is outstanding and nothing is left to repair: `todo`s will stay empty.
  bool finished() const;
  /// Replicas that were behind and were sent the merged record.
  size_t repairs() const { return repairs_; }

private:
  struct place_state {
    /// What it holds as far as we know; equals `merged_digest_` where it is up to date.
    uint64_t holds = 0;
    bool answered = false;
    bool caught_up = false;
    /// `holds` is part of `merged_`.
    bool included = false;
    bool fetching = false;
    /// The record that was asked for takes long.
    bool late = false;
    bool storing = false;
    bool failed = false;
  };

  todo next();
  bool holds_result(const place_state& x) const;
  bool enough_hold() const;
  bool can_succeed() const;
  size_t outstanding() const;
  bool pending(const place_state& x) const {
    return !x.failed && (!x.answered || x.fetching || x.storing);
  }
  uint32_t places_to_fetch();
  uint32_t places_to_store();

  /// How many places in force, or in the target, satisfy `is`.
  template <class Is>
  size_t count_in_force(Is is) const;
  template <class Is>
  size_t count_in_target(Is is) const;

  quorum_rule rule_;
  per_place<place_state> places_;
  record merged_;
  uint64_t merged_digest_ = 0;
  bool has_record_ = false;
  bool replied_ = false;
  bool failed_ = false;
  size_t repairs_ = 0;
  errc reason_ = errc::quorum_failed;
};

/// One write on its way to the replicas. A hint (a stand-in's copy) counts towards W only while
/// fewer than W replicas are alive, so that every read quorum meets every write quorum even where
/// nodes disagree about who is down. While the partition moves both lists need their W, each by
/// this rule.
///
/// A *decision* (a conditional write) goes to the leader's own replica last, when enough others
/// have accepted it: one that nobody accepts is then nowhere, and can not come to light when
/// another leader has decided without it. More than half of the replicas have to accept it,
/// whatever hints there are, or all of W where that is fewer, so that of two decisions one is
/// refused. While the partition moves this holds for each list.
class write_core {
public:
  /// `commit`: the leader's own replica and the stand-ins take it now.
  enum class verdict : uint8_t { wait, commit, done, failed };

  explicit write_core(const quorum_rule& rule);
  /// Of a decision that the leader, in the place `held`, holds. `nowhere`: nobody was asked before,
  /// under older lists, who may have accepted it; else it is never `unchanged` any more.
  static write_core of_decision(const quorum_rule& rule, size_t held, bool nowhere = true);

  /// When everybody has been asked: where the leader's own replica is enough it is its turn at
  /// once.
  verdict on_asked() { return next(); }
  /// The place's own replica has it.
  verdict on_stored(size_t place);
  /// Whether the write has to be done once more, above what the replica has, before it may be
  /// acknowledged: clients see a version there that its leader did not know; or something has
  /// replaced it before the replica was asked again, and that may have been written by somebody who
  /// took it for older than such a version, so that nobody ever saw it. `sole`: see store_call;
  /// what was decided on the key's state is never done again by itself.
  bool must_rewrite(const stored_answer& x, bool sole) const {
    return x.shadowed_by != 0 || (x.replaced && asked_again_ && !sole);
  }
  /// The place's replica was lost, and will be asked again. `unchanged`: it certainly has not
  /// stored.
  void on_lost(bool unchanged);
  /// A stand-in keeps it for the place's replica, which is down.
  verdict on_hint(size_t place);
  /// The place's replica will not answer; `stand_in`: another node was asked to keep a hint.
  /// `unchanged`: it certainly has not stored. `confirmed`: it is down for others, too; hints do
  /// not count in the place of one that others may read.
  verdict on_replica_down(size_t place, bool stand_in, bool unchanged = true,
                          bool confirmed = true);
  /// Neither the replica nor a stand-in took it. One that knows of other lists is alive, and read
  /// by those who know them too: hints do not count in its place either.
  verdict on_failure(size_t place, const failed_answer& x);
  /// The replica has a version that the leader did not know (store_call::sole).
  verdict on_refused(size_t place);
  /// The leader's own replica has not been asked to take it.
  bool held() const;
  /// After `failed`: replicas refused it.
  bool refused() const;
  /// The same, and nobody has it.
  bool only_refused() const;

  /// `unchanged` only when no place has it or may still take it.
  failed_answer failure() const;
  /// Nobody who was asked may still take it.
  bool finished() const;

private:
  enum class place_state : uint8_t {
    held,
    waiting,
    stored,
    waiting_for_stand_in,
    hinted,
    refused,
    failed
  };
  verdict next();
  /// One of the partition's lists.
  struct list_state {
    /// W is met.
    bool done = false;
    /// It can not be met any more.
    bool failed = false;
    /// The leader's own replica, where it is in the list, is all that is missing.
    bool ready = false;
  };
  size_t number(place_state s) const;
  template <class In>
  list_state look_at(size_t size, size_t needed, In in) const;

  quorum_rule rule_;
  per_place<place_state> places_;
  /// So many of the places that count have to be real replicas, more than half of each list.
  bool decision_ = false;
  /// Places that failed, whose replicas are not confirmed to be down.
  uint32_t in_doubt_ = 0;
  bool decided_ = false;
  bool asked_again_ = false;
  /// No failure, and nothing before, left open whether a node stored it.
  bool failures_unchanged_ = true;
  errc reason_ = errc::quorum_failed;
};

/// "1 of 3 replicas answered, 2 needed".
std::string quorum_text(size_t got, size_t places, size_t needed);

} // namespace kai
