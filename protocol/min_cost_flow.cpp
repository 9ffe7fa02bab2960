#include "protocol/min_cost_flow.hpp"

#include <algorithm>
#include <limits>

namespace kai {

min_cost_flow::arc min_cost_flow::add_arc(node from, node to, int32_t capacity, int8_t cost) {
  half_arcs_.push_back({to, capacity, cost});
  half_arcs_.push_back({from, 0, static_cast<int8_t>(-cost)});
  return static_cast<arc>(half_arcs_.size() / 2 - 1);
}

int64_t min_cost_flow::run(node source, node sink) {
  source_ = source;
  sink_ = sink;
  index_arcs();
  potential_.assign(nodes_, 0);
  int64_t total = 0;
  while (find_distances())
    while (find_levels())
      total += fill_paths();
  return total;
}

void min_cost_flow::index_arcs() {
  first_.assign(nodes_ + 1, 0);
  // The half arc beside `x` ends where `x` begins.
  for (size_t x = 0; x < half_arcs_.size(); ++x)
    ++first_[half_arcs_[x ^ 1].to + 1];
  for (size_t v = 0; v < nodes_; ++v)
    first_[v + 1] += first_[v];
  by_node_.resize(half_arcs_.size());
  next_.assign(first_.begin(), first_.end() - 1);
  for (size_t x = 0; x < half_arcs_.size(); ++x)
    by_node_[next_[half_arcs_[x ^ 1].to]++] = static_cast<uint32_t>(x);
}

/// Dijkstra over reduced costs, which are small numbers: one bucket per distance. False: the sink
/// can not be reached any more.
bool min_cost_flow::find_distances() {
  constexpr auto unreached = std::numeric_limits<int32_t>::max();
  std::vector<int32_t> distance(nodes_, unreached);
  std::vector<std::vector<node>> buckets(1);
  distance[source_] = 0;
  buckets[0].push_back(source_);
  for (size_t d = 0; d < buckets.size() && static_cast<int32_t>(d) <= distance[sink_]; ++d) {
    for (size_t i = 0; i < buckets[d].size(); ++i) {
      auto v = buckets[d][i];
      if (distance[v] != static_cast<int32_t>(d))
        continue;
      for (auto at = first_[v]; at < first_[v + 1]; ++at) {
        const auto& x = half_arcs_[by_node_[at]];
        auto reached = distance[v] + x.cost + potential_[v] - potential_[x.to];
        if (x.room == 0 || reached >= distance[x.to])
          continue;
        distance[x.to] = reached;
        if (buckets.size() <= static_cast<size_t>(reached))
          buckets.resize(static_cast<size_t>(reached) + 1);
        buckets[static_cast<size_t>(reached)].push_back(x.to);
      }
    }
  }
  auto to_sink = distance[sink_];
  if (to_sink == unreached)
    return false;
  // Nodes beyond the sink move with it, so that no arc's reduced cost becomes negative.
  for (size_t v = 0; v < nodes_; ++v)
    potential_[v] += std::min(distance[v], to_sink);
  return true;
}

/// Breadth first over usable arcs, so that paths are short and can not run in circles of cost 0.
bool min_cost_flow::find_levels() {
  level_.assign(nodes_, -1);
  level_[source_] = 0;
  std::vector<node> queue{source_};
  for (size_t i = 0; i < queue.size() && level_[sink_] < 0; ++i) {
    auto v = queue[i];
    for (auto at = first_[v]; at < first_[v + 1]; ++at) {
      const auto& x = half_arcs_[by_node_[at]];
      if (level_[x.to] < 0 && usable(v, x)) {
        level_[x.to] = level_[v] + 1;
        queue.push_back(x.to);
      }
    }
  }
  return level_[sink_] >= 0;
}

/// Depth first without recursion: paths can be as long as there are nodes.
int64_t min_cost_flow::fill_paths() {
  next_.assign(first_.begin(), first_.end() - 1);
  path_.clear();
  int64_t total = 0;
  auto at = source_;
  while (true) {
    if (at == sink_) {
      total += send_along_path();
      at = path_.empty() ? source_ : half_arcs_[path_.back()].to;
      continue;
    }
    auto end = first_[at + 1];
    auto& next = next_[at];
    while (next < end) {
      const auto& x = half_arcs_[by_node_[next]];
      if (level_[x.to] == level_[at] + 1 && usable(at, x))
        break;
      ++next;
    }
    if (next < end) {
      path_.push_back(by_node_[next]);
      at = half_arcs_[by_node_[next]].to;
    } else if (at == source_) {
      return total;
    } else {
      // A dead end: step back, and past the arc that led here.
      at = half_arcs_[path_.back() ^ 1].to;
      path_.pop_back();
      ++next_[at];
    }
  }
}

/// Fills the path from source to sink and cuts it back to before its first full arc.
int64_t min_cost_flow::send_along_path() {
  auto amount = std::numeric_limits<int32_t>::max();
  for (auto x : path_)
    amount = std::min(amount, half_arcs_[x].room);
  auto full = path_.size();
  for (size_t i = path_.size(); i-- > 0;) {
    half_arcs_[path_[i]].room -= amount;
    half_arcs_[path_[i] ^ 1].room += amount;
    if (half_arcs_[path_[i]].room == 0)
      full = i;
  }
  path_.resize(full);
  return amount;
}

} // namespace kai
