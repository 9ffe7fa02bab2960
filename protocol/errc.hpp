#pragma once

#include <cstdint>
#include <string>

#include <caf/error.hpp>
#include <caf/make_message.hpp>
#include <caf/message.hpp>

namespace kai {

/// Everything that can go wrong in kai and has a name. Values travel between nodes: never renumber.
enum class errc : uint8_t {
  /// The node that had to answer is not connected, or its connection broke before it answered.
  peer_down = 1,
  /// The node did not answer before the call's deadline.
  timed_out,
  /// A limit of limits.hpp was reached; nothing was done.
  overloaded,
  /// Fewer replicas answered than the quorum needs.
  quorum_failed,
  /// A conditional write met concurrent writers too often; nothing was done.
  contended,
  /// The call was made by another idea of who holds the partition than this node has, or this node
  /// does not hold it; nothing was done. One of the two will know better in a moment.
  not_owner,
  /// The engine could not write: disk full or an I/O error. Reads go on.
  storage_failed,
  /// The memory engine is at storage.memory-limit and may not evict.
  out_of_memory,
  /// A stored record failed its checksum and was set aside.
  damaged,
  /// Bytes from disk or network do not follow their format.
  malformed,
  /// An option, a file or a directory is not usable as configured.
  bad_configuration,
  /// The other node speaks another protocol version, or belongs to another cluster.
  incompatible,
  /// The request can not be carried out as things are; the message says why.
  refused,
  /// The node is not (or not yet) a member of the cluster.
  not_a_member,
};

/// The name as used in logs and in stats, for example "peer_down".
std::string to_string(errc x);

} // namespace kai

CAF_ERROR_CODE_ENUM(kai::errc, "kai")

namespace kai {

/// An error of ours with a message for the user: what, what was wrong with it, what to do.
caf::error failure(errc code, std::string message);

/// The message of an error made by `failure`, or CAF's rendering of a foreign one.
std::string message_of(const caf::error& err);

} // namespace kai
