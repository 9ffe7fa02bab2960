#include "protocol/topology_rules.hpp"

#include <algorithm>
#include <bit>
#include <charconv>
#include <set>
#include <utility>

#include "protocol/limits.hpp"

namespace kai {

namespace {

caf::error invalid(std::string what) {
  return failure(errc::malformed, "not a valid topology: " + std::move(what));
}

/// Names, zones and addresses stand in logs, ready lines and lists of seeds: nothing in them may
/// end a word or a line.
bool is_plain(std::string_view x, size_t bytes_max) {
  return x.size() <= bytes_max && std::all_of(x.begin(), x.end(), [](char c) {
           auto byte = static_cast<unsigned char>(c);
           return byte > ' ' && byte != 0x7f;
         });
}

/// Whether other nodes can connect to it: HOST:PORT, the port fixed.
bool is_address(std::string_view x) {
  auto colon = x.rfind(':');
  if (!is_plain(x, limits::address_bytes_max) || colon == std::string_view::npos || colon == 0)
    return false;
  uint16_t port = 0;
  auto [end, err] = std::from_chars(x.data() + colon + 1, x.data() + x.size(), port);
  return err == std::errc{} && end == x.data() + x.size() && port != 0;
}

std::string defect_of(const member& x) {
  if (x.name.empty())
    return "a member has no name";
  if (!is_plain(x.name, limits::member_name_bytes_max))
    return "the member name " + quoted(x.name) +
           " has a space or control character, or is longer than " +
           std::to_string(limits::member_name_bytes_max) + " bytes";
  auto who = "member " + quoted(x.name);
  if (!is_plain(x.zone, limits::zone_bytes_max))
    return who + ": its zone " + quoted(x.zone) +
           " has a space or control character, or is longer than " +
           std::to_string(limits::zone_bytes_max) + " bytes";
  if (!is_address(x.cluster_address))
    return who + ": its cluster address " + quoted(x.cluster_address) +
           " is not HOST:PORT with a port from 1 to 65535";
  if (!is_plain(x.memcache_address, limits::address_bytes_max))
    return who + ": its memcache address " + quoted(x.memcache_address) +
           " has a space or control character, or is too long";
  if (x.id == 0)
    return who + " has no node id";
  if (x.state < member_state::joining || x.state > member_state::arriving)
    return who + " is in no known state (" + std::to_string(static_cast<int>(x.state)) + ")";
  return {};
}

/// What is wrong with one list, between `least` and `most` long.
std::string defect_of_list(const topology& x, const replica_list& list, size_t least, size_t most) {
  if (list.size() < least || list.size() > most)
    return " has " + std::to_string(list.size()) + " replicas, not " +
           (least == most ? std::to_string(most)
                          : std::to_string(least) + " to " + std::to_string(most));
  for (size_t i = 0; i < list.size(); ++i) {
    if (list[i] >= x.members.size())
      return " names member " + std::to_string(list[i]) + " of " + std::to_string(x.members.size());
    if (std::find(list.begin(), list.begin() + static_cast<ptrdiff_t>(i), list[i]) !=
        list.begin() + static_cast<ptrdiff_t>(i))
      return " names member " + quoted(x.members[list[i]].name) + " twice";
  }
  return {};
}

std::string defect_of_lists(const topology& x) {
  if (x.replicas.size() != x.settings.partitions)
    return "it has " + std::to_string(x.replicas.size()) + " replica lists for " +
           std::to_string(x.settings.partitions) + " partitions";
  auto staying = std::count_if(x.members.begin(), x.members.end(),
                               [](const member& m) { return stays(m.state); });
  auto most = std::min<size_t>(x.settings.replicas, x.members.size());
  auto least = std::clamp<size_t>(static_cast<size_t>(staying), 1, most);
  auto move = x.moves.begin();
  for (size_t p = 0; p < x.replicas.size(); ++p) {
    auto where = "partition " + std::to_string(p);
    auto moves = move != x.moves.end() && move->partition == p;
    if (auto defect = defect_of_list(x, x.replicas[p], moves ? 1 : least, most); !defect.empty())
      return where + defect;
    if (!moves)
      continue;
    if (auto defect = defect_of_list(x, move->target, least, most); !defect.empty())
      return where + " is to move to a list that" + defect;
    if (move->target == x.replicas[p])
      return where + " is to move to where it is";
    ++move;
  }
  if (move != x.moves.end())
    return "its moves are not in the order of their partitions: " + std::to_string(move->partition);
  if (x.changed_at.size() != x.replicas.size())
    return "it does not say of every partition when its lists changed";
  if (std::any_of(x.changed_at.begin(), x.changed_at.end(),
                  [&](auto epoch) { return epoch == 0 || epoch > x.epoch; }))
    return "lists changed in no epoch there was";
  return {};
}

} // namespace

std::string quoted(std::string_view x) {
  constexpr size_t shown_max = 64;
  std::string result = "'";
  for (auto c : x.substr(0, shown_max))
    result += static_cast<unsigned char>(c) < ' ' || c == 0x7f ? '?' : c;
  return result + (x.size() > shown_max ? "...'" : "'");
}

std::string defect_of(const cluster_settings& x) {
  if (!std::has_single_bit(x.partitions) || x.partitions > limits::partitions_max)
    return "its number of partitions is " + std::to_string(x.partitions) +
           ", not a power of two up to " + std::to_string(limits::partitions_max);
  if (x.replicas < 1 || x.replicas > limits::replicas_max)
    return "its number of replicas is " + std::to_string(x.replicas) + ", not 1 to " +
           std::to_string(limits::replicas_max);
  if (x.read_quorum < 1 || x.read_quorum > x.replicas)
    return "its read quorum is " + std::to_string(x.read_quorum) + ", not 1 to the " +
           std::to_string(x.replicas) + " replicas";
  if (x.write_quorum < 1 || x.write_quorum > x.replicas)
    return "its write quorum is " + std::to_string(x.write_quorum) + ", not 1 to the " +
           std::to_string(x.replicas) + " replicas";
  return {};
}

std::string defect_of(const std::vector<member>& members) {
  if (members.empty())
    return "it has no members";
  if (members.size() > limits::members_max)
    return "it has " + std::to_string(members.size()) + " members, more than " +
           std::to_string(limits::members_max);
  std::set<std::string_view> addresses;
  std::set<node_id> ids;
  const member* before = nullptr;
  for (const auto& x : members) {
    if (auto defect = defect_of(x); !defect.empty())
      return defect;
    auto who = "member " + quoted(x.name);
    if (before && before->name == x.name)
      return who + " is listed twice";
    if (before && before->name > x.name)
      return who + " is not in its place: members are sorted by name";
    if (!addresses.insert(x.cluster_address).second)
      return who + " has the cluster address of another member, " + x.cluster_address;
    if (!ids.insert(x.id).second)
      return who + " has the node id of another member";
    before = &x;
  }
  return {};
}

caf::error validate(const topology& x) {
  if (x.epoch == 0)
    return invalid("it has no epoch");
  if (auto defect = defect_of(x.settings); !defect.empty())
    return invalid(std::move(defect));
  if (auto defect = defect_of(x.members); !defect.empty())
    return invalid(std::move(defect));
  if (auto defect = defect_of_lists(x); !defect.empty())
    return invalid(std::move(defect));
  if (x.flushed.ahead != 0 && x.flushed.ahead <= x.flushed.reached)
    return invalid("its waiting flush mark is not above the one that was reached");
  return {};
}

} // namespace kai
