#include "actors/cluster_view.hpp"

#include <algorithm>

namespace kai {

cluster_view::cluster_view(topology decided, member_index own_index)
    : topo(std::move(decided)), self(own_index), alive(topo.members.size()),
      unsure(topo.members.size()), replicas(topo.replicas_now()),
      read_quorum(topo.read_quorum_now()), write_quorum(topo.write_quorum_now()) {
  order_.reserve(topo.settings.partitions * topo.members.size());
  for (uint32_t i = 0; i < topo.settings.partitions; ++i) {
    auto order = topo.preference(static_cast<partition_id>(i));
    order_.insert(order_.end(), order.begin(), order.end());
  }
}

bool cluster_view::owns(member_index x, partition_id partition) const {
  auto places = replica_places(partition);
  return std::find(places.begin(), places.end(), x) != places.end();
}

} // namespace kai
