#include "actors/cluster_view.hpp"

#include <algorithm>

namespace kai {

cluster_view::cluster_view(topology decided, member_index own_index)
    : topo(std::move(decided)), self(own_index), alive(topo.members.size()),
      unsure(topo.members.size()), order_(topo.preferences()), shapes_(topo.replicas.size()) {
  for (size_t i = 0; i < topo.replicas.size(); ++i)
    shapes_[i].places = static_cast<uint8_t>(topo.replicas[i].size());
  for (auto& x : topo.moves) {
    auto& shape = shapes_[x.partition];
    auto order = preference(x.partition);
    shape.places = static_cast<uint8_t>(topo.holders_of(x.partition).size());
    shape.target_size = static_cast<uint8_t>(x.target.size());
    for (size_t place = 0; place < shape.places; ++place)
      if (std::find(x.target.begin(), x.target.end(), order[place]) != x.target.end())
        shape.target |= 1u << place;
  }
}

quorum_rule cluster_view::rule(partition_id partition,
                               size_t (cluster_settings::*quorum_of)(size_t) const) const {
  auto& shape = shapes_[partition];
  auto in_force = topo.replicas[partition].size();
  quorum_rule result{in_force, (topo.settings.*quorum_of)(in_force)};
  if (shape.target != 0) {
    result.target = shape.target;
    result.target_needed = static_cast<uint8_t>((topo.settings.*quorum_of)(shape.target_size));
    result.places = shape.places;
  }
  return result;
}

quorum_rule cluster_view::read_rule(partition_id partition) const {
  return rule(partition, &cluster_settings::read_quorum_of);
}

quorum_rule cluster_view::write_rule(partition_id partition) const {
  return rule(partition, &cluster_settings::write_quorum_of);
}

bool cluster_view::owns(member_index x, partition_id partition) const {
  auto places = replica_places(partition);
  return std::find(places.begin(), places.end(), x) != places.end();
}

bool cluster_view::is_newcomer(member_index x, partition_id partition) const {
  auto before = replicas(partition);
  return owns(x, partition) && std::find(before.begin(), before.end(), x) == before.end();
}

} // namespace kai
