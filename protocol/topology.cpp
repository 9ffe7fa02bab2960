#include "protocol/topology.hpp"

#include <algorithm>
#include <string_view>
#include <utility>

#include "protocol/limits.hpp"
#include "protocol/topology_rules.hpp"

namespace kai {

namespace {

constexpr uint8_t topology_format = 2;

void encode(byte_writer& out, const member& x) {
  out.bytes(x.name);
  out.bytes(x.zone);
  out.bytes(x.memcache_address);
  out.bytes(x.cluster_address);
  out.u64(x.id);
  out.u8(static_cast<uint8_t>(x.state));
}

void encode(byte_writer& out, const replica_list& x) {
  out.varint(x.size());
  for (auto m : x)
    out.varint(m);
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

replica_list decode_list(byte_reader& in, size_t members) {
  replica_list result;
  for (auto k = count_up_to(in, limits::replicas_max); k > 0 && in.ok(); --k) {
    auto m = in.varint();
    if (m >= members)
      in.fail();
    result.push_back(static_cast<member_index>(m));
  }
  return result;
}

} // namespace

const member* topology::find(const std::string& name) const {
  auto at = std::lower_bound(members.begin(), members.end(), name,
                             [](const member& x, const auto& y) { return x.name < y; });
  return at != members.end() && at->name == name ? &*at : nullptr;
}

const member* topology::find_at(const std::string& cluster_address) const {
  auto at = std::find_if(members.begin(), members.end(),
                         [&](const member& x) { return x.cluster_address == cluster_address; });
  return at != members.end() ? &*at : nullptr;
}

const replica_list* topology::target_of(partition_id partition) const {
  auto at =
      std::lower_bound(moves.begin(), moves.end(), partition,
                       [](const partition_move& x, partition_id y) { return x.partition < y; });
  return at != moves.end() && at->partition == partition ? &at->target : nullptr;
}

replica_list topology::holders_of(partition_id partition) const {
  auto result = replicas[partition];
  if (auto target = target_of(partition))
    for (auto m : *target)
      if (std::find(result.begin(), result.end(), m) == result.end())
        result.push_back(m);
  return result;
}

std::vector<member_index> topology::preferences() const {
  // Those that lists name, in the order in which the lists behind a partition name them first. For
  // the partition before it, its own list comes in front of that.
  replica_list ring;
  auto put_in_front = [&](const replica_list& list) {
    std::erase_if(ring,
                  [&](auto m) { return std::find(list.begin(), list.end(), m) != list.end(); });
    ring.insert(ring.begin(), list.begin(), list.end());
  };
  for (auto p = replicas.size(); p-- > 0;)
    put_in_front(replicas[p]);
  std::vector<member_index> result(replicas.size() * members.size());
  for (auto p = replicas.size(); p-- > 0;) {
    auto out = result.begin() + static_cast<std::ptrdiff_t>(p * members.size());
    std::vector<bool> named(members.size(), false);
    auto add = [&](member_index m) {
      if (!named[m])
        *out++ = m;
      named[m] = true;
    };
    for (auto m : holders_of(static_cast<partition_id>(p)))
      add(m);
    for (auto m : ring)
      if (stays(members[m].state))
        add(m);
    for (size_t m = 0; m < members.size(); ++m)
      if (stays(members[m].state))
        add(static_cast<member_index>(m));
    for (size_t m = 0; m < members.size(); ++m)
      add(static_cast<member_index>(m));
    put_in_front(replicas[p]);
  }
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
  result.changed_at.assign(settings.partitions, 1);
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
  for (const auto& list : x.replicas)
    encode(out, list);
  out.varint(x.moves.size());
  for (const auto& move : x.moves) {
    out.u16(move.partition);
    encode(out, move.target);
  }
  for (auto epoch : x.changed_at)
    out.varint(epoch);
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
  for (auto n = count_up_to(in, limits::partitions_max); n > 0 && in.ok(); --n)
    result.replicas.push_back(decode_list(in, result.members.size()));
  for (auto n = count_up_to(in, limits::partitions_max); n > 0 && in.ok(); --n) {
    auto& move = result.moves.emplace_back();
    move.partition = in.u16();
    move.target = decode_list(in, result.members.size());
  }
  for (size_t n = result.replicas.size(); n > 0 && in.ok(); --n)
    result.changed_at.push_back(in.varint());
  result.flushed.reached = in.u64();
  result.flushed.ahead = in.u64();
  if (!in.ok() || validate(result)) {
    in.fail();
    return {};
  }
  return result;
}

} // namespace kai
