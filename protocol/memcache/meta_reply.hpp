#pragma once

#include <string_view>

#include "protocol/memcache/command.hpp"
#include "protocol/memcache/text_reply.hpp"

/// Answers of the meta commands, appended to a connection's write buffer. `words`: the flags that
/// the answer depends on (`command::argument`).
namespace kai::memcache {

/// What an answer to a meta command is made from beside the outcome.
struct meta_question {
  verb op = verb::meta_get;
  /// `form.quiet` leaves out the usual answer.
  bool quiet = false;
  /// The key came in base64.
  bool binary_key = false;
  std::string_view key;
  std::string_view words;
  /// The command as the cluster carried it out.
  const mutation* write = nullptr;
  timestamp now = 0;
};

/// When a node last gave a value to a client, as far as it remembers.
struct access_mark {
  bool fetched = false;
  timestamp last = 0;
};

/// When the value that `mg` found was written. A placeholder that it made itself says it by the cas
/// unique of the record, `cas`.
timestamp fetched_written(const outcome& found, uint64_t cas);

/// `mg` that found `x`.
void append_fetched(output& out, const meta_question& q, const version& x, uint64_t cas,
                    fetch_result result, const access_mark& access);

/// `mg` that found nothing.
void append_not_fetched(output& out, const meta_question& q);

/// `ms`, `md`, `ma`.
void append_outcome(output& out, const meta_question& q, const outcome& x);

/// `me`.
void append_debug(output& out, std::string_view key, const version& x, uint64_t cas,
                  const access_mark& access, timestamp now);

} // namespace kai::memcache
