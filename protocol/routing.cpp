#include "protocol/routing.hpp"

#include <algorithm>

namespace kai {

std::optional<member_index> choose_leader(std::span<const member_index> preference,
                                          const std::vector<bool>& alive,
                                          const per_place<member_index>& tried) {
  if (tried.size() >= limits::places_max)
    return std::nullopt;
  for (auto x : preference)
    if (alive[x] && std::find(tried.begin(), tried.end(), x) == tried.end())
      return x;
  return std::nullopt;
}

bool enough_alive(const std::vector<bool>& alive, size_t write_quorum) {
  for (auto i = alive.begin(); i != alive.end() && write_quorum > 0; ++i)
    write_quorum -= *i;
  return write_quorum == 0;
}

bool may_begin(std::span<const member_index> replicas, const std::vector<bool>& alive,
               const std::vector<bool>& unsure, size_t write_quorum) {
  size_t reached = 0;
  size_t in_doubt = 0;
  for (auto x : replicas) {
    reached += alive[x];
    in_doubt += unsure[x];
  }
  return enough_alive(alive, write_quorum) &&
         (reached >= write_quorum || reached + in_doubt < write_quorum);
}

std::optional<next_attempt> ask_next_leader(const lost_leader& x, const time_budget& time,
                                            time_budget::time elapsed) {
  next_attempt result;
  if (!x.unchanged && x.silent)
    result.wait = wait_for_next_leader(x.decides, x.wall_now);
  auto then = elapsed + result.wait;
  if (!time.may_try_blindly(then) || (!x.unchanged && !x.repeatable))
    return std::nullopt;
  // Who answered, as one whose disk is full, has decided and will not again: its dot, if it made
  // one, lies below the clock that its answer brought. Who is silent may decide yet.
  // What looks at nothing has no rivals, and gets by where all are busy with other writers.
  result.all_again = x.unchanged && x.repeatable && x.contended && x.last;
  if (!x.unchanged)
    result.above = x.silent ? x.decides.until : x.now + 1;
  else if (result.all_again || !time.may_try(then))
    result.above = x.now;
  return result;
}

std::optional<member_index> stand_ins::next(std::span<const member_index> preference,
                                            size_t replicas, const std::vector<bool>& alive) {
  while (replicas + passed_ < preference.size())
    if (auto x = preference[replicas + passed_++]; alive[x])
      return x;
  return std::nullopt;
}

lost_step next_step(const lost_replica& x) {
  if (!x.same_lists)
    return lost_step::count_nothing;
  if (!x.alive && !x.unsure)
    return lost_step::count_hint;
  if (!x.time)
    return lost_step::count_nothing;
  return x.alive && x.waited ? lost_step::ask_again : lost_step::wait;
}

hint_route route_hint(std::optional<member_index> target, std::span<const member_index> replicas,
                      const std::vector<bool>& alive, size_t write_quorum) {
  hint_route result;
  if (target && std::find(replicas.begin(), replicas.end(), *target) != replicas.end()) {
    if (alive[*target])
      result = {{*target}, 1};
    return result;
  }
  for (auto x : replicas)
    if (alive[x])
      result.to.push_back(x);
  if (result.to.size() < write_quorum)
    return {};
  result.needed = write_quorum;
  return result;
}

std::string address_to_try(const std::string& last, std::span<const std::string> seeds,
                           const std::string& own, const topology* known, size_t attempt) {
  std::vector<std::string> all{last};
  for (auto& seed : seeds)
    if (known && seed != own && known->find_at(seed) == nullptr)
      all.push_back(seed);
  return all[attempt % all.size()];
}

} // namespace kai
