#pragma once

#include <string>

#include "protocol/paxos.hpp"
#include "protocol/topology_changes.hpp"

/// What topology actors of different nodes say to each other, inside service_call and text_answer.
namespace kai {

struct topology_request {
  enum class kind : uint8_t {
    /// Your topology, if it is newer than `epoch`.
    get = 1,
    /// Phase 1 and 2 of the vote on epoch `epoch`.
    prepare,
    accept,
    /// `value` was decided.
    learn,
  };

  kind what = kind::get;
  uint64_t epoch = 0;
  paxos::ballot at;
  blob value;
};

struct topology_reply {
  /// The epoch of the answering node.
  uint64_t epoch = 0;
  /// Its topology, where it is newer than the request's; else empty.
  blob newer;
  /// To prepare and accept.
  paxos::answer vote;
};

std::string encode_text(const topology_request& x);
std::string encode_text(const topology_reply& x);
caf::expected<topology_request> decode_topology_request(const std::string& text);
caf::expected<topology_reply> decode_topology_reply(const std::string& text);

/// A topology, or a member, as bytes and back; checked with `validate`.
blob encode_blob(const topology& x);
caf::expected<topology> decode_topology_blob(const blob& bytes);
/// Of a member, who wants to join: behind the protocol version of its node. Another version is
/// errc::incompatible.
std::string encode_text(const member& x);
std::string encode_text(const fill_report& x);
/// The sender is alive.
caf::expected<fill_report> decode_fill_report(const std::string& text);
caf::expected<member> decode_member_text(const std::string& text);

} // namespace kai
