#include "protocol/topology_messages.hpp"

#include "protocol/messages.hpp"

namespace kai {

namespace {

void encode(byte_writer& out, const paxos::ballot& x) {
  out.varint(x.round);
  out.u64(x.proposer);
}

paxos::ballot decode_ballot(byte_reader& in) {
  paxos::ballot x;
  x.round = in.varint();
  x.proposer = in.u64();
  return x;
}

caf::error malformed(const char* what) {
  return failure(errc::malformed, std::string{what} + " from another node is malformed");
}

} // namespace

std::string encode_text(const topology_request& x) {
  std::string result;
  byte_writer out{result};
  out.u8(static_cast<uint8_t>(x.what));
  out.varint(x.epoch);
  encode(out, x.at);
  out.bytes(x.value.view());
  return result;
}

caf::expected<topology_request> decode_topology_request(const std::string& text) {
  byte_reader in{std::string_view{text}};
  topology_request x;
  auto kind = in.u8();
  x.what = static_cast<topology_request::kind>(kind);
  x.epoch = in.varint();
  x.at = decode_ballot(in);
  x.value = in.read_blob();
  if (!in.done() || kind < 1 || kind > 4)
    return malformed("a topology request");
  return x;
}

std::string encode_text(const topology_reply& x) {
  std::string result;
  byte_writer out{result};
  out.varint(x.epoch);
  out.bytes(x.newer.view());
  out.u8(x.vote.granted);
  paxos::encode(out, x.vote.state);
  return result;
}

caf::expected<topology_reply> decode_topology_reply(const std::string& text) {
  byte_reader in{std::string_view{text}};
  topology_reply x;
  x.epoch = in.varint();
  x.newer = in.read_blob();
  x.vote.granted = in.u8() != 0;
  x.vote.state = paxos::decode_vote(in);
  if (!in.done())
    return malformed("a topology reply");
  return x;
}

blob encode_blob(const topology& x) {
  std::string bytes;
  byte_writer out{bytes};
  encode(out, x);
  return blob::copy_of(bytes);
}

caf::expected<topology> decode_topology_blob(const blob& bytes) {
  byte_reader in{bytes.view()};
  auto x = decode_topology(in);
  if (!in.done())
    return malformed("a topology");
  if (auto err = validate(x))
    return err;
  return x;
}

std::string encode_text(const member& x) {
  std::string bytes;
  byte_writer out{bytes};
  out.u32(protocol_version);
  out.bytes(x.name);
  out.bytes(x.zone);
  out.bytes(x.memcache_address);
  out.bytes(x.cluster_address);
  out.u64(x.id);
  return bytes;
}

std::string encode_text(const fill_report& x) {
  std::string bytes;
  byte_writer out{bytes};
  out.varint(x.hints);
  out.varint(x.epoch);
  out.varint(x.sees.size());
  for (auto m : x.sees)
    out.u16(m);
  out.varint(x.filled.size());
  for (auto& [partition, changed_at] : x.filled) {
    out.u16(partition);
    out.varint(changed_at);
  }
  return bytes;
}

caf::expected<fill_report> decode_fill_report(const std::string& text) {
  byte_reader in{std::string_view{text}};
  fill_report x;
  x.alive = true;
  x.hints = in.varint();
  x.epoch = in.varint();
  for (auto n = in.count(2); n > 0 && in.ok(); --n)
    x.sees.push_back(in.u16());
  for (auto n = in.count(3); n > 0 && in.ok(); --n) {
    auto partition = in.u16();
    x.filled.emplace_back(partition, in.varint());
  }
  if (!in.done())
    return malformed("a report of filled partitions");
  return x;
}

caf::expected<member> decode_member_text(const std::string& text) {
  byte_reader in{std::string_view{text}};
  if (auto protocol = in.u32(); in.ok() && protocol != protocol_version)
    return failure(errc::incompatible, "the node speaks version " + std::to_string(protocol) +
                                           " of the cluster protocol, this cluster version " +
                                           std::to_string(protocol_version));
  member x;
  x.name = in.str();
  x.zone = in.str();
  x.memcache_address = in.str();
  x.cluster_address = in.str();
  x.id = in.u64();
  if (!in.done())
    return malformed("a member");
  return x;
}

} // namespace kai
