#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace kai {

/// A maximum flow of least cost between two nodes of a directed network, by the primal-dual method:
/// all cheapest paths are filled at once (Dinic's blocking flows), then all of the next cost. Quick
/// where costs are few and small, as for the planner, which pays 1 for a copy that moves.
///
/// Deterministic: the result depends on the order in which arcs were added, and on nothing else.
class min_cost_flow {
public:
  using node = uint32_t;
  /// What `add_arc` returns, to ask for the flow on it later.
  using arc = uint32_t;

  /// Nodes 0 to `nodes` - 1 to begin with.
  explicit min_cost_flow(size_t nodes) : nodes_(nodes) {}

  node add_node() { return static_cast<node>(nodes_++); }

  /// `capacity` >= 0, `cost` >= 0 per unit.
  arc add_arc(node from, node to, int32_t capacity, int8_t cost);

  /// Sends as much as there can be from `source` to `sink`, as cheaply as that can be; returns how
  /// much. `source` and `sink` differ. Once per network.
  int64_t run(node source, node sink);

  int32_t flow(arc x) const { return half_arcs_[2 * x + 1].room; }

private:
  /// Arc `x` is the half arcs 2x, forward, and 2x + 1, backward; `room` is what may still be sent.
  struct half_arc {
    node to;
    int32_t room;
    int8_t cost;
  };

  void index_arcs();
  bool find_distances();
  bool find_levels();
  int64_t fill_paths();
  int64_t send_along_path();
  /// Whether `x`, which leaves `from`, has room and lies on a cheapest path from the source.
  bool usable(node from, const half_arc& x) const {
    return x.room > 0 && x.cost + potential_[from] == potential_[x.to];
  }

  size_t nodes_;
  std::vector<half_arc> half_arcs_;
  /// Half arcs by the node they leave: [first_[v], first_[v + 1]) of by_node_.
  std::vector<uint32_t> first_;
  std::vector<uint32_t> by_node_;

  node source_ = 0;
  node sink_ = 0;
  /// Cost of the cheapest path from the source.
  std::vector<int32_t> potential_;
  /// Arcs on the way from the source along usable ones; -1: not reached.
  std::vector<int32_t> level_;
  /// Where the search for paths goes on at each node.
  std::vector<uint32_t> next_;
  /// Half arcs from the source to where the search is.
  std::vector<uint32_t> path_;
};

} // namespace kai
