#include "protocol/quorum.hpp"

#include <algorithm>
#include <bit>

namespace kai {

std::string quorum_text(size_t got, size_t places, size_t needed) {
  return std::to_string(got) + " of " + std::to_string(places) + " replicas answered, " +
         std::to_string(needed) + " needed";
}

// --- read_core -----------------------------------------------------------------------------------

read_core::read_core(size_t replicas, size_t quorum, size_t record_place)
    : places_(replicas), quorum_(quorum) {
  places_[record_place].fetching = true;
}

read_core::todo read_core::on_record(size_t place, std::string_view key, record_answer x) {
  auto& p = places_[place];
  p.answered = true;
  p.fetching = false;
  p.caught_up = x.caught_up;
  p.included = true;
  p.holds = digest_of(key, x.value);
  if (!has_record_) {
    has_record_ = true;
    merged_ = std::move(x.value);
    merged_digest_ = p.holds;
  } else if (p.holds != merged_digest_) {
    merged_ = merge(merged_, x.value);
    merged_digest_ = digest_of(key, merged_);
  }
  return next();
}

read_core::todo read_core::on_digest(size_t place, const digest_answer& x) {
  auto& p = places_[place];
  p.answered = true;
  p.caught_up = x.caught_up;
  p.holds = x.digest;
  return next();
}

read_core::todo read_core::on_stored(size_t place) {
  auto& p = places_[place];
  p.storing = false;
  return next();
}

read_core::todo read_core::on_failure(size_t place, const failed_answer& x) {
  auto& p = places_[place];
  p.failed = true;
  p.fetching = p.storing = false;
  if (x.reason != errc::peer_down && x.reason != errc::timed_out)
    reason_ = x.reason;
  return next();
}

read_core::todo read_core::on_late() {
  if (has_record_)
    return {};
  for (auto& p : places_)
    p.late = p.fetching;
  return next();
}

size_t read_core::holders() const {
  if (!has_record_)
    return 0;
  return static_cast<size_t>(std::count_if(places_.begin(), places_.end(), [this](auto& p) {
    return p.answered && p.caught_up && !p.failed && !p.storing && p.holds == merged_digest_;
  }));
}

size_t read_core::outstanding() const {
  return static_cast<size_t>(
      std::count_if(places_.begin(), places_.end(), [this](auto& p) { return pending(p); }));
}

/// Places whose state nobody has sent yet. While no record is there, one is enough: the others'
/// digests probably equal its.
uint32_t read_core::places_to_fetch() {
  auto any_record_coming =
      std::any_of(places_.begin(), places_.end(), [](auto& p) { return p.fetching && !p.late; });
  uint32_t result = 0;
  for (size_t i = 0; i < places_.size(); ++i) {
    auto& p = places_[i];
    if (!p.answered || p.failed || p.fetching || p.included)
      continue;
    if (has_record_) {
      auto known = std::any_of(places_.begin(), places_.end(),
                               [&](auto& q) { return q.included && q.holds == p.holds; });
      if (known || p.holds == merged_digest_ || p.holds == 0) {
        p.included = true;
        continue;
      }
    } else if (any_record_coming) {
      continue;
    }
    p.fetching = true;
    result |= 1u << i;
    if (!has_record_)
      break;
  }
  return result;
}

/// Before the reply: places that are behind, once a quorum is merged. After it: the same once all
/// have answered.
uint32_t read_core::places_to_store() {
  auto included = static_cast<size_t>(std::count_if(places_.begin(), places_.end(), [](auto& p) {
    return p.included && p.caught_up && !p.failed;
  }));
  if (merged_.empty() || (replied_ ? outstanding() > 0 : included < quorum_))
    return 0;
  uint32_t result = 0;
  for (size_t i = 0; i < places_.size(); ++i) {
    auto& p = places_[i];
    if (p.failed || p.storing || !p.included || p.holds == merged_digest_)
      continue;
    p.storing = true;
    p.holds = merged_digest_;
    ++repairs_;
    result |= 1u << i;
  }
  return result;
}

read_core::todo read_core::next() {
  todo result;
  result.fetch = places_to_fetch();
  if (!replied_) {
    if (holders() < quorum_)
      result.store = places_to_store();
    auto possible = static_cast<size_t>(std::count_if(places_.begin(), places_.end(), [](auto& p) {
      return !p.failed && (!p.answered || p.caught_up);
    }));
    failed_ = possible < quorum_;
    replied_ = result.reply = failed_ || holders() >= quorum_;
  }
  if (replied_ && !failed_)
    result.store |= places_to_store();
  return result;
}

failed_answer read_core::failure() const {
  auto got = static_cast<size_t>(std::count_if(places_.begin(), places_.end(), [](auto& p) {
    return p.answered && p.caught_up && !p.failed;
  }));
  return {reason_, true, quorum_text(got, places_.size(), quorum_)};
}

bool read_core::finished() const { return replied_ && outstanding() == 0; }

// --- write_core ----------------------------------------------------------------------------------

write_core::write_core(size_t replicas, size_t quorum)
    : places_(replicas, place_state::waiting), quorum_(quorum) {}

write_core write_core::of_decision(size_t replicas, size_t quorum, size_t held) {
  write_core x{replicas, quorum};
  x.places_[held] = place_state::held;
  x.copies_min_ = std::min(quorum, replicas / 2 + 1);
  return x;
}

write_core::verdict write_core::on_stored(size_t place) {
  places_[place] = place_state::stored;
  return next();
}

write_core::verdict write_core::on_hint(size_t place) {
  places_[place] = place_state::hinted;
  return next();
}

write_core::verdict write_core::on_replica_down(size_t place, bool stand_in, bool unchanged,
                                                bool confirmed) {
  failures_unchanged_ = failures_unchanged_ && unchanged;
  in_doubt_ |= confirmed ? 0 : 1u << place;
  places_[place] = stand_in ? place_state::waiting_for_stand_in : place_state::failed;
  return next();
}

write_core::verdict write_core::on_failure(size_t place, const failed_answer& x) {
  places_[place] = place_state::failed;
  failures_unchanged_ = failures_unchanged_ && x.unchanged;
  if (x.reason != errc::peer_down && x.reason != errc::timed_out)
    reason_ = x.reason;
  return next();
}

write_core::verdict write_core::on_refused(size_t place) {
  places_[place] = place_state::refused;
  reason_ = errc::contended;
  return next();
}

size_t write_core::number(place_state s) const {
  return static_cast<size_t>(std::count(places_.begin(), places_.end(), s));
}

bool write_core::held() const { return number(place_state::held) > 0; }

bool write_core::only_refused() const {
  return failures_unchanged_ && number(place_state::refused) > 0 &&
         number(place_state::stored) + number(place_state::hinted) == 0 &&
         number(place_state::waiting) == 0;
}

write_core::verdict write_core::next() {
  if (decided_)
    return verdict::wait;
  auto stored = number(place_state::stored);
  auto open = stored + number(place_state::waiting) + number(place_state::held);
  auto alive = open + number(place_state::refused) + static_cast<size_t>(std::popcount(in_doubt_));
  auto hints = alive < quorum_ ? number(place_state::hinted) : 0;
  auto hints_coming = alive < quorum_ ? number(place_state::waiting_for_stand_in) : 0;
  auto done = stored >= copies_min_ && stored + hints >= quorum_;
  decided_ = done || open < copies_min_ || open + hints + hints_coming < quorum_;
  if (decided_)
    return done ? verdict::done : verdict::failed;
  if (!held() || stored + 1 < std::max(copies_min_, std::min(quorum_, alive)))
    return verdict::wait;
  std::replace(places_.begin(), places_.end(), place_state::held, place_state::waiting);
  return verdict::commit;
}

failed_answer write_core::failure() const {
  auto got = number(place_state::stored) + number(place_state::hinted);
  return {reason_, got == 0 && finished() && failures_unchanged_,
          quorum_text(got, places_.size(), quorum_)};
}

bool write_core::finished() const {
  return number(place_state::waiting) + number(place_state::waiting_for_stand_in) == 0;
}

} // namespace kai
