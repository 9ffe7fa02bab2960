#pragma once

#include <string_view>

#include <caf/error.hpp>

#include "protocol/memcache/binary_packet.hpp"
#include "protocol/memcache/text_reply.hpp"

/// Answers of the binary protocol, appended to a connection's write buffer. `form` is that of the
/// command; what its quietness leaves out is left out here.
namespace kai::memcache {

/// A packet with a body of `value` alone, as most answers are. Success is left out when quiet.
void append_packet(output& out, const answer_form& form, binary_status status,
                   std::string_view value = {}, uint64_t cas = 0);

/// An error with its usual text.
void append_error(output& out, const answer_form& form, binary_status status);

/// A hit of get, gat and touch; touch answers without the value.
void append_hit(output& out, const answer_form& form, verb op, std::string_view key,
                const version& x, uint64_t cas);

/// A miss of get and gat.
void append_miss(output& out, const answer_form& form, std::string_view key);

/// What a write came to; not for gat and touch that hit.
void append_outcome(output& out, const answer_form& form, verb op, const outcome& x,
                    std::string_view key);

/// An error of the cluster.
void append_failure(output& out, const answer_form& form, const caf::error& err);

/// What `stats` says in text: a packet for each line, and an empty one behind them.
void append_stats(output& out, const answer_form& form, std::string_view text);

} // namespace kai::memcache
