#include "protocol/planner.hpp"

#include <algorithm>
#include <iterator>
#include <numeric>
#include <optional>
#include <utility>

#include "protocol/min_cost_flow.hpp"
#include "protocol/zone_rule.hpp"

namespace kai {

namespace {

using node = min_cost_flow::node;

constexpr node source = 0;
constexpr node sink = 1;
constexpr node node_of(member_index m) { return 2U + m; }

/// Deterministic scatter (splitmix64): which of several equally good members or partitions is
/// chosen must not follow the numbering, else the same members would share long runs of partitions
/// and a member's load would fall on few others when it dies.
class scatter {
public:
  explicit scatter(uint64_t seed) : state_(seed) {}

  size_t below(size_t n) {
    state_ += 0x9e3779b97f4a7c15;
    auto x = state_;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
    x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
    return static_cast<size_t>((x ^ (x >> 31)) % n);
  }

  template <class Iterator>
  void shuffle(Iterator first, Iterator last) {
    for (auto n = static_cast<size_t>(last - first); n > 1; --n)
      std::iter_swap(first + (n - 1), first + below(n));
  }

private:
  uint64_t state_;
};

/// Finds the lists, as sets. A replica is a unit that flows from its partition, through a zone, to
/// a member; one that was not there before costs 1.
class placement {
public:
  placement(size_t members, const std::vector<replica_list>& old, const zone_rule& rule)
      : old_(old), rule_(rule), members_(members), shares_(shares_of(rule, std::ssize(old))),
        zone_of_(members, no_zone), zone_node_(rule.zones.size(), source), seen_(members, 0) {
    for (size_t z = 0; z < rule.zones.size(); ++z)
      for (auto m : rule.zones[z]) {
        zone_of_[m] = z;
        everybody_.push_back(m);
      }
    std::vector<int64_t> held(members, 0);
    for (const auto& list : old)
      for (auto m : list)
        if (m < members)
          ++held[m];
    for (const auto& x : shares_)
      std::copy_if(x.members.begin(), x.members.end(), std::back_inserter(short_),
                   [&](auto m) { return held[m] < x.each(); });
  }

  std::vector<replica_list> run(size_t pairs_max) {
    auto limit = std::max<size_t>(16, pairs_max / old_.size());
    auto result = attempt(limit);
    while (!result && limit < everybody_.size()) {
      limit *= 2;
      result = attempt(limit);
    }
    return std::move(result).value_or(std::vector<replica_list>(old_.size()));
  }

private:
  static constexpr size_t no_zone = SIZE_MAX;

  /// Considers for each partition its old members and up to `limit` others. Nothing: they were too
  /// few. With all members there always is a placement: each zone's share, cut evenly over
  /// partitions and members, is one in fractions, and whole bounds then have one in whole numbers.
  std::optional<std::vector<replica_list>> attempt(size_t limit) {
    auto partitions = old_.size();
    min_cost_flow network{2 + members_};
    auto wanted = add_members(network);
    scatter random{partitions * 0x10001 + everybody_.size()};
    std::vector<size_t> order(partitions);
    std::iota(order.begin(), order.end(), 0);
    random.shuffle(order.begin(), order.end());
    placed_.assign(partitions, {});
    for (auto p : order)
      add_partition(network, p, limit, random);
    if (network.run(source, sink) < wanted)
      return {};
    std::vector<replica_list> result(partitions, rule_.in_every_list);
    for (size_t p = 0; p < partitions; ++p)
      for (auto [arc, m] : placed_[p])
        if (network.flow(arc) > 0)
          result[p].push_back(m);
    return result;
  }

  /// From each member its share, rounded down, to the sink, and one more from some.
  int64_t add_members(min_cost_flow& network) const {
    int64_t total = 0;
    for (const auto& x : shares_) {
      auto one_more = network.add_node();
      network.add_arc(one_more, sink, static_cast<int32_t>(x.one_more()), 0);
      for (auto m : x.members) {
        network.add_arc(node_of(m), sink, static_cast<int32_t>(x.each()), 0);
        network.add_arc(node_of(m), one_more, 1, 0);
      }
      total += x.total;
    }
    return total;
  }

  void add_partition(min_cost_flow& network, size_t p, size_t limit, scatter& random) {
    auto [candidates, kept] = candidates_of(p, limit, random);
    auto from = network.add_node();
    network.add_arc(source, from, static_cast<int32_t>(rule_.zones_at_level), 0);
    std::fill(zone_node_.begin(), zone_node_.end(), source);
    for (size_t i = 0; i < candidates.size(); ++i) {
      auto m = candidates[i];
      auto via = from;
      if (auto z = zone_of_[m]; rule_.level > 1 || rule_.zones[z].size() > 1) {
        if (zone_node_[z] == source) {
          zone_node_[z] = network.add_node();
          network.add_arc(source, zone_node_[z], static_cast<int32_t>(rule_.level - 1), 0);
          network.add_arc(from, zone_node_[z], 1, 0);
        }
        via = zone_node_[z];
      }
      placed_[p].emplace_back(network.add_arc(via, node_of(m), 1, i < kept ? 0 : 1), m);
    }
  }

  struct candidate_list {
    std::vector<member_index> members;
    /// The first so many hold the partition already.
    size_t kept;
  };

  candidate_list candidates_of(size_t p, size_t limit, scatter& random) {
    candidate_list result{{}, 0};
    auto stamp = static_cast<uint32_t>(p) + 1;
    auto take = [&, this](member_index m) {
      if (m < members_ && zone_of_[m] != no_zone && std::exchange(seen_[m], stamp) != stamp)
        result.members.push_back(m);
    };
    std::for_each(old_[p].begin(), old_[p].end(), take);
    result.kept = result.members.size();
    if (limit >= everybody_.size()) {
      std::for_each(everybody_.begin(), everybody_.end(), take);
    } else {
      // Half of them from those who hold too little: a newcomer among many is considered always.
      if (short_.size() <= limit / 2)
        std::for_each(short_.begin(), short_.end(), take);
      else
        for (size_t i = 0; i < limit / 2; ++i)
          take(short_[random.below(short_.size())]);
      for (size_t i = 0; i < limit / 2; ++i)
        take(everybody_[random.below(everybody_.size())]);
    }
    random.shuffle(result.members.begin() + static_cast<ptrdiff_t>(result.kept),
                   result.members.end());
    // Stamps of this attempt must not be taken for those of the next.
    for (auto m : result.members)
      seen_[m] = 0;
    return result;
  }

  const std::vector<replica_list>& old_;
  const zone_rule& rule_;
  size_t members_;
  std::vector<member_share> shares_;
  std::vector<size_t> zone_of_;
  std::vector<node> zone_node_;
  std::vector<uint32_t> seen_;
  /// Members of the rule's zones, and those of them who hold less than their share.
  std::vector<member_index> everybody_;
  std::vector<member_index> short_;
  /// Per partition the arcs that stand for a replica.
  std::vector<std::vector<std::pair<min_cost_flow::arc, member_index>>> placed_;
};

/// Members that stay first and in their old order; newcomers are put in somewhere after the first.
void keep_order(replica_list& list, const replica_list& old, scatter& random) {
  auto is_in = [](const replica_list& xs, member_index m) {
    return std::find(xs.begin(), xs.end(), m) != xs.end();
  };
  replica_list result;
  for (auto m : old)
    if (is_in(list, m) && !is_in(result, m))
      result.push_back(m);
  for (auto m : list)
    if (!is_in(result, m)) {
      auto at = result.empty() ? 0 : 1 + random.below(result.size());
      result.insert(result.begin() + static_cast<ptrdiff_t>(at), m);
    }
  list = std::move(result);
}

/// A leader of each list, so that every member leads the mean, give or take rounding and
/// `tolerance`, and as few as possible are not the first of the old list. Nothing: the lists do not
/// permit it.
std::optional<std::vector<member_index>> leaders_within(const std::vector<replica_list>& lists,
                                                        const std::vector<replica_list>& old,
                                                        const std::vector<member_index>& targets,
                                                        int64_t tolerance) {
  auto partitions = std::ssize(lists);
  auto count = std::ssize(targets);
  auto least = std::max<int64_t>(0, partitions / count - tolerance);
  auto most = std::min(partitions, (partitions + count - 1) / count + tolerance);
  auto highest = *std::max_element(targets.begin(), targets.end());
  min_cost_flow network{3U + highest};
  auto above_least = network.add_node();
  network.add_arc(above_least, sink, static_cast<int32_t>(partitions - least * count), 0);
  for (auto m : targets) {
    network.add_arc(node_of(m), sink, static_cast<int32_t>(least), 0);
    network.add_arc(node_of(m), above_least, static_cast<int32_t>(most - least), 0);
  }
  std::vector<min_cost_flow::arc> first_arc;
  for (size_t p = 0; p < lists.size(); ++p) {
    auto from = network.add_node();
    first_arc.push_back(network.add_arc(source, from, 1, 0) + 1);
    for (auto m : lists[p])
      network.add_arc(from, node_of(m), 1, !old[p].empty() && old[p].front() == m ? 0 : 1);
  }
  if (network.run(source, sink) < partitions)
    return {};
  std::vector<member_index> result;
  for (size_t p = 0; p < lists.size(); ++p) {
    auto arc = first_arc[p];
    while (network.flow(arc) == 0)
      ++arc;
    result.push_back(lists[p][arc - first_arc[p]]);
  }
  return result;
}

/// Puts the leaders first, with the smallest tolerance that the lists permit.
void choose_leaders(std::vector<replica_list>& lists, const std::vector<replica_list>& old,
                    const std::vector<member_index>& targets) {
  auto found = leaders_within(lists, old, targets, 0);
  if (!found) {
    // With a tolerance of all partitions the first of each list may lead it.
    int64_t low = 1;
    int64_t high = std::ssize(lists);
    while (low < high) {
      auto middle = (low + high) / 2;
      if (leaders_within(lists, old, targets, middle))
        high = middle;
      else
        low = middle + 1;
    }
    found = leaders_within(lists, old, targets, low);
  }
  for (size_t p = 0; p < lists.size(); ++p) {
    auto at = std::find(lists[p].begin(), lists[p].end(), (*found)[p]);
    std::rotate(lists[p].begin(), at, at + 1);
  }
}

} // namespace

std::vector<replica_list> plan(const std::vector<member>& members, uint16_t replicas,
                               const std::vector<replica_list>& old, size_t pairs_max) {
  std::vector<member_index> targets;
  for (size_t i = 0; i < members.size(); ++i)
    if (stays(members[i].state))
      targets.push_back(static_cast<member_index>(i));
  auto k = std::min<int64_t>(replicas, std::ssize(targets));
  if (k == 0 || old.empty())
    return std::vector<replica_list>(old.size());
  auto rule = rule_for(zones_of(members), k);
  auto lists = placement{members.size(), old, rule}.run(pairs_max);
  scatter random{old.size() + members.size()};
  for (size_t p = 0; p < old.size(); ++p)
    keep_order(lists[p], old[p], random);
  choose_leaders(lists, old, targets);
  return lists;
}

} // namespace kai
