#pragma once

#include <cstdint>
#include <string>

#include <boost/container/static_vector.hpp>

#include "protocol/limits.hpp"
#include "protocol/messages.hpp"
#include "protocol/version.hpp"

/// The rules of N, R and W as pure state machines: answers in, what to do out. A *place* is a
/// position in the key's preference list, 0 to N-1; a node that stands in for a replica answers in
/// its place.
namespace kai {

template <class T>
using per_place = boost::container::static_vector<T, limits::replicas_max>;

/// One read: asks one place for the record and the others for its digest, and replies when R
/// replicas that are caught up hold the same.
///
/// Where they differ it fetches and merges what differs, and *writes the merged record back to R
/// replicas before it replies*: a write that is on its way may be seen by this read only if no
/// later read can miss it (Attiya, Bar-Noy, Dolev, 1995). Those still behind when all have answered
/// are repaired after the reply.
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

  /// `record_place` is asked for the record, the others for digests.
  read_core(size_t replicas, size_t quorum, size_t record_place);

  todo on_record(size_t place, std::string_view key, record_answer x);
  todo on_digest(size_t place, const digest_answer& x);
  /// The merged record is stored there.
  todo on_stored(size_t place);
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
  size_t holders() const;
  size_t outstanding() const;
  bool pending(const place_state& x) const {
    return !x.failed && (!x.answered || x.fetching || x.storing);
  }
  uint32_t places_to_fetch();
  uint32_t places_to_store();

  per_place<place_state> places_;
  size_t quorum_;
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
/// nodes disagree about who is down.
///
/// A *decision* (a conditional write) goes to the leader's own replica last, when enough others
/// have accepted it: one that nobody accepts is then nowhere, and can not come to light when
/// another leader has decided without it. More than half of the replicas have to accept it,
/// whatever hints there are, or all of W where that is fewer, so that of two decisions one is
/// refused.
class write_core {
public:
  /// `commit`: the leader's own replica and the stand-ins take it now.
  enum class verdict : uint8_t { wait, commit, done, failed };

  write_core(size_t replicas, size_t quorum);
  /// Of a decision that the leader, in the place `held`, holds.
  static write_core of_decision(size_t replicas, size_t quorum, size_t held);

  /// The place's own replica has it.
  verdict on_stored(size_t place);
  /// A stand-in keeps it for the place's replica, which is down.
  verdict on_hint(size_t place);
  /// The place's replica will not answer; `stand_in`: another node was asked to keep a hint.
  /// `unchanged`: it certainly has not stored. `confirmed`: it is down for others, too; hints do
  /// not count in the place of one that others may read.
  verdict on_replica_down(size_t place, bool stand_in, bool unchanged = true,
                          bool confirmed = true);
  /// Neither the replica nor a stand-in took it.
  verdict on_failure(size_t place, const failed_answer& x);
  /// The replica has a version that the leader did not know (store_call::sole).
  verdict on_refused(size_t place);
  /// The leader's own replica has not been asked to take it.
  bool held() const;
  /// After `failed`: replicas refused it, and nobody has it.
  bool only_refused() const;

  /// `unchanged` only when no place has it or may still take it.
  failed_answer failure() const;
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
  size_t number(place_state s) const;

  per_place<place_state> places_;
  size_t quorum_;
  /// Real replicas among those that count towards the quorum.
  size_t copies_min_ = 0;
  /// Places whose replicas are not confirmed to be down.
  uint32_t in_doubt_ = 0;
  bool decided_ = false;
  /// No failure left open whether its node stored.
  bool failures_unchanged_ = true;
  errc reason_ = errc::quorum_failed;
};

/// "1 of 3 replicas answered, 2 needed".
std::string quorum_text(size_t got, size_t places, size_t needed);

} // namespace kai
