#include "protocol/topology.hpp"

#include <algorithm>
#include <string_view>
#include <utility>

#include "protocol/limits.hpp"
#include "protocol/planner.hpp"
#include "protocol/topology_rules.hpp"

namespace kai {

namespace {

constexpr uint8_t topology_format = 1;

/// Where the lists' indices into `before` are in `after`: by name; `no_member` where it is gone.
std::vector<replica_list> remapped(const std::vector<replica_list>& lists,
                                   const std::vector<member>& before,
                                   const std::vector<member>& after) {
  std::vector<member_index> place;
  for (const auto& x : before) {
    auto at = std::lower_bound(after.begin(), after.end(), x.name,
                               [](const member& m, const auto& name) { return m.name < name; });
    place.push_back(at != after.end() && at->name == x.name
                        ? static_cast<member_index>(at - after.begin())
                        : no_member);
  }
  auto result = lists;
  for (auto& list : result)
    for (auto& m : list)
      m = place[m];
  return result;
}

void encode(byte_writer& out, const member& x) {
  out.bytes(x.name);
  out.bytes(x.zone);
  out.bytes(x.memcache_address);
  out.bytes(x.cluster_address);
  out.u64(x.id);
  out.u8(static_cast<uint8_t>(x.state));
}

/// Damaged counts must not make anyone build long lists before `validate` has its say.
size_t count_up_to(byte_reader& in, size_t most) {
  auto result = in.count();
  if (result <= most)
    return result;
  in.fail();
  return 0;
}

member decode_member(byte_reader& in) {
  member result;
  result.name = in.str();
  result.zone = in.str();
  result.memcache_address = in.str();
  result.cluster_address = in.str();
  result.id = in.u64();
  result.state = static_cast<member_state>(in.u8());
  return result;
}

} // namespace

uint16_t topology::replicas_now() const {
  return static_cast<uint16_t>(std::min<size_t>(settings.replicas, members.size()));
}

uint16_t topology::read_quorum_now() const {
  return std::min(settings.read_quorum, replicas_now());
}

uint16_t topology::write_quorum_now() const {
  return std::min(settings.write_quorum, replicas_now());
}

const member* topology::find(const std::string& name) const {
  auto at = std::lower_bound(members.begin(), members.end(), name,
                             [](const member& x, const auto& y) { return x.name < y; });
  return at != members.end() && at->name == name ? &*at : nullptr;
}

std::vector<member_index> topology::preference(partition_id partition) const {
  std::vector<member_index> result;
  std::vector<bool> named(members.size(), false);
  auto add = [&](member_index m) {
    if (!named[m])
      result.push_back(m);
    named[m] = true;
  };
  for (size_t i = 0; i < replicas.size() && result.size() < members.size(); ++i)
    for (auto m : replicas[(partition + i) % replicas.size()])
      add(m);
  for (size_t m = 0; m < members.size(); ++m)
    add(static_cast<member_index>(m));
  return result;
}

topology found(uint64_t cluster_id, const cluster_settings& settings, member founder) {
  topology result;
  result.epoch = 1;
  result.cluster_id = cluster_id;
  result.settings = settings;
  founder.state = member_state::up;
  result.members.push_back(std::move(founder));
  result.replicas.assign(settings.partitions, {0});
  return result;
}

caf::expected<topology> with_member(const topology& now, member newcomer) {
  if (auto err = validate(now))
    return err;
  newcomer.state = member_state::up;
  auto result = now;
  ++result.epoch;
  auto at = std::lower_bound(result.members.begin(), result.members.end(), newcomer.name,
                             [](const member& x, const auto& y) { return x.name < y; });
  auto replaces = at != result.members.end() && at->name == newcomer.name;
  auto keeps_place = replaces && at->zone == newcomer.zone && at->state != member_state::leaving;
  if (replaces)
    *at = std::move(newcomer);
  else
    result.members.insert(at, std::move(newcomer));
  if (auto defect = defect_of(result.members); !defect.empty())
    return failure(errc::refused, "this change of members is refused: " + defect);
  if (!keeps_place)
    result.replicas = plan(result.members, result.settings.replicas,
                           remapped(now.replicas, now.members, result.members));
  return result;
}

caf::expected<topology> without_member(const topology& now, const std::string& name) {
  if (auto err = validate(now))
    return err;
  if (!now.find(name))
    return failure(errc::refused, "there is no member " + quoted(name));
  if (now.members.size() == 1)
    return failure(errc::refused, quoted(name) + " is the last member: a cluster needs one");
  auto result = now;
  ++result.epoch;
  std::erase_if(result.members, [&](const member& x) { return x.name == name; });
  if (std::all_of(result.members.begin(), result.members.end(),
                  [](const member& x) { return x.state == member_state::leaving; }))
    return failure(errc::refused, "all members but " + quoted(name) + " are leaving");
  result.replicas = plan(result.members, result.settings.replicas,
                         remapped(now.replicas, now.members, result.members));
  return result;
}

topology with_flush(const topology& now, timestamp mark, timestamp clock_now) {
  auto result = now;
  ++result.epoch;
  auto& marks = result.flushed;
  if (marks.ahead <= clock_now)
    marks.reached = std::max(marks.reached, marks.ahead);
  marks.ahead = 0;
  if (mark <= clock_now)
    marks.reached = std::max(marks.reached, mark);
  else if (mark > marks.reached)
    marks.ahead = mark;
  return result;
}

void encode(byte_writer& out, const topology& x) {
  out.u8(topology_format);
  out.u64(x.epoch);
  out.u64(x.cluster_id);
  out.u16(x.settings.replicas);
  out.u16(x.settings.read_quorum);
  out.u16(x.settings.write_quorum);
  out.u32(x.settings.partitions);
  out.varint(x.members.size());
  for (const auto& m : x.members)
    encode(out, m);
  out.varint(x.replicas.size());
  for (const auto& list : x.replicas) {
    out.varint(list.size());
    for (auto m : list)
      out.varint(m);
  }
  out.u64(x.flushed.reached);
  out.u64(x.flushed.ahead);
}

topology decode_topology(byte_reader& in) {
  if (in.u8() != topology_format)
    in.fail();
  topology result;
  result.epoch = in.u64();
  result.cluster_id = in.u64();
  result.settings.replicas = in.u16();
  result.settings.read_quorum = in.u16();
  result.settings.write_quorum = in.u16();
  result.settings.partitions = in.u32();
  for (auto n = count_up_to(in, limits::members_max); n > 0 && in.ok(); --n)
    result.members.push_back(decode_member(in));
  for (auto n = count_up_to(in, limits::partitions_max); n > 0 && in.ok(); --n) {
    auto& list = result.replicas.emplace_back();
    for (auto k = count_up_to(in, limits::replicas_max); k > 0 && in.ok(); --k) {
      auto m = in.varint();
      if (m >= result.members.size())
        in.fail();
      list.push_back(static_cast<member_index>(m));
    }
  }
  result.flushed.reached = in.u64();
  result.flushed.ahead = in.u64();
  if (!in.ok() || validate(result)) {
    in.fail();
    return {};
  }
  return result;
}

} // namespace kai
