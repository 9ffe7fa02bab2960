#include "protocol/quorum.hpp"

#include <algorithm>
#include <bit>

namespace kai {

std::string quorum_text(size_t got, size_t places, size_t needed) {
  return std::to_string(got) + " of " + std::to_string(places) + " replicas answered, " +
         std::to_string(needed) + " needed";
}

// --- read_core -----------------------------------------------------------------------------------

read_core::read_core(const quorum_rule& rule, size_t record_place)
    : rule_(rule), places_(rule.places) {
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
  // It was asked for its record.
  if (p.fetching)
    return on_failure(place, {errc::malformed, false, "a digest in place of a record"});
  p.answered = true;
  p.caught_up = x.caught_up;
  p.holds = x.digest;
  return next();
}

read_core::todo read_core::on_stored(size_t place, bool shadowed) {
  auto& p = places_[place];
  p.storing = false;
  if (!shadowed || replied_)
    return next();
  p.included = false;
  p.fetching = true;
  p.holds = 0;
  auto result = next();
  result.fetch |= 1u << place;
  return result;
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

template <class Is>
size_t read_core::count_in_force(Is is) const {
  auto end = places_.begin() + static_cast<ptrdiff_t>(rule_.replicas);
  return static_cast<size_t>(std::count_if(places_.begin(), end, is));
}

template <class Is>
size_t read_core::count_in_target(Is is) const {
  size_t result = 0;
  for (size_t i = 0; i < places_.size(); ++i)
    result += rule_.in_target(i) && is(places_[i]);
  return result;
}

bool read_core::holds_result(const place_state& x) const {
  return x.answered && !x.failed && !x.storing && x.holds == merged_digest_;
}

bool read_core::enough_hold() const {
  return has_record_ &&
         count_in_force([&](auto& p) { return p.caught_up && holds_result(p); }) >= rule_.needed &&
         (rule_.target == 0 ||
          count_in_target([&](auto& p) { return holds_result(p); }) >= rule_.target_needed);
}

bool read_core::can_succeed() const {
  auto may_count = [](auto& p) { return !p.failed && (!p.answered || p.caught_up); };
  return count_in_force(may_count) >= rule_.needed &&
         (rule_.target == 0 ||
          count_in_target([](auto& p) { return !p.failed; }) >= rule_.target_needed);
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
  auto included = count_in_force([](auto& p) { return p.included && p.caught_up && !p.failed; });
  if (merged_.empty() || (replied_ ? outstanding() > 0 : included < rule_.needed))
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
    if (!enough_hold())
      result.store = places_to_store();
    failed_ = !can_succeed();
    replied_ = result.reply = failed_ || enough_hold();
  }
  if (replied_ && !failed_)
    result.store |= places_to_store();
  return result;
}

failed_answer read_core::failure() const {
  auto got = count_in_force([](auto& p) { return p.answered && p.caught_up && !p.failed; });
  if (rule_.target == 0 || got < rule_.needed)
    return {reason_, true, quorum_text(got, rule_.replicas, rule_.needed)};
  got = count_in_target([](auto& p) { return p.answered && !p.failed; });
  return {reason_, true,
          quorum_text(got, static_cast<size_t>(std::popcount(rule_.target)), rule_.target_needed)};
}

bool read_core::finished() const { return replied_ && outstanding() == 0; }

// --- write_core ----------------------------------------------------------------------------------

write_core::write_core(const quorum_rule& rule)
    : rule_(rule), places_(rule.places, place_state::waiting) {}

write_core write_core::of_decision(const quorum_rule& rule, size_t held, bool nowhere) {
  write_core x{rule};
  x.failures_unchanged_ = nowhere;
  x.places_[held] = place_state::held;
  x.decision_ = true;
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

void write_core::on_lost(bool unchanged) {
  asked_again_ = true;
  failures_unchanged_ = failures_unchanged_ && unchanged;
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
  in_doubt_ |= x.reason == errc::not_owner ? 1u << place : 0;
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

bool write_core::refused() const { return number(place_state::refused) > 0; }

bool write_core::only_refused() const {
  return failures_unchanged_ && refused() &&
         number(place_state::stored) + number(place_state::hinted) == 0 &&
         number(place_state::waiting) == 0;
}

/// Of the list of `size` replicas in the places that `in` says.
template <class In>
write_core::list_state write_core::look_at(size_t size, size_t needed, In in) const {
  auto number_in_list = [&](place_state s) {
    size_t result = 0;
    for (size_t i = 0; i < places_.size(); ++i)
      result += places_[i] == s && in(i);
    return result;
  };
  auto copies_min = decision_ ? std::min(needed, size / 2 + 1) : 0;
  auto stored = number_in_list(place_state::stored);
  auto own = number_in_list(place_state::held);
  auto open = stored + number_in_list(place_state::waiting) + own;
  size_t in_doubt = 0;
  for (size_t i = 0; i < places_.size(); ++i)
    in_doubt += (in_doubt_ >> i & 1) != 0 && in(i);
  auto alive = open + number_in_list(place_state::refused) + in_doubt;
  auto hinted = number_in_list(place_state::hinted);
  auto hints_coming = number_in_list(place_state::waiting_for_stand_in);
  list_state result;
  result.done = stored >= copies_min && stored + (alive < needed ? hinted : 0) >= needed;
  // Those that are waited for may turn out to be down, and hints count then.
  auto alive_at_least = alive - number_in_list(place_state::waiting);
  result.failed =
      open < copies_min ||
      (open < needed && (alive_at_least >= needed || open + hinted + hints_coming < needed));
  // Where nobody is waited for any more it has to do with the copies there are: `alive` also counts
  // those who refused, or may yet be found to be alive.
  auto waited_for = number_in_list(place_state::waiting) > 0;
  result.ready =
      stored + own >= copies_min && (!waited_for || stored + own >= std::min(needed, alive));
  return result;
}

write_core::verdict write_core::next() {
  if (decided_)
    return verdict::wait;
  auto x = look_at(rule_.replicas, rule_.needed, [this](size_t i) { return rule_.in_force(i); });
  if (rule_.target != 0) {
    auto size = static_cast<size_t>(std::popcount(rule_.target));
    auto y = look_at(size, rule_.target_needed, [this](size_t i) { return rule_.in_target(i); });
    x = {x.done && y.done, x.failed || y.failed, x.ready && y.ready};
  }
  decided_ = x.failed || (x.done && !held());
  if (decided_)
    return x.failed ? verdict::failed : verdict::done;
  if (!held() || !x.ready)
    return verdict::wait;
  std::replace(places_.begin(), places_.end(), place_state::held, place_state::waiting);
  return verdict::commit;
}

failed_answer write_core::failure() const {
  auto taken = [this](size_t i) {
    return places_[i] == place_state::stored || places_[i] == place_state::hinted;
  };
  size_t in_force = 0;
  size_t in_target = 0;
  auto nowhere = true;
  for (size_t i = 0; i < places_.size(); ++i) {
    in_force += taken(i) && rule_.in_force(i);
    in_target += taken(i) && rule_.in_target(i);
    nowhere = nowhere && !taken(i);
  }
  auto unchanged = nowhere && finished() && failures_unchanged_;
  if (rule_.target == 0 || in_force < rule_.needed)
    return {reason_, unchanged, quorum_text(in_force, rule_.replicas, rule_.needed)};
  return {reason_, unchanged,
          quorum_text(in_target, static_cast<size_t>(std::popcount(rule_.target)),
                      rule_.target_needed)};
}

bool write_core::finished() const {
  // Stand-ins get nothing before the leader's own replica.
  auto asked =
      number(place_state::waiting) + (held() ? 0 : number(place_state::waiting_for_stand_in));
  return asked == 0;
}

} // namespace kai
