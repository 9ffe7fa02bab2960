#include "protocol/memcache/binary_reply.hpp"

#include <algorithm>

namespace kai::memcache {

namespace {

/// The header, of an answer whose body the caller appends.
void append_header(output& out, const answer_form& form, binary_status status, size_t extras_bytes,
                   size_t key_bytes, size_t value_bytes, uint64_t cas) {
  binary_header header{};
  header.magic = binary_response_magic;
  header.opcode = form.opcode;
  header.key_bytes = static_cast<uint16_t>(key_bytes);
  header.extras_bytes = static_cast<uint8_t>(extras_bytes);
  header.status = static_cast<uint16_t>(status);
  header.body_bytes = static_cast<uint32_t>(extras_bytes + key_bytes + value_bytes);
  header.opaque = form.opaque;
  header.cas = cas;
  append(out, {reinterpret_cast<const char*>(&header), sizeof header});
}

template <class T>
std::string_view bytes_of(const T& x) {
  return {reinterpret_cast<const char*>(&x), sizeof x};
}

binary_status status_of(verb op, outcome_kind kind) {
  switch (kind) {
  case outcome_kind::stored:
  case outcome_kind::deleted:
  case outcome_kind::touched:
  case outcome_kind::number:
  case outcome_kind::value: return binary_status::success;
  case outcome_kind::exists: return binary_status::key_exists;
  case outcome_kind::not_found: return binary_status::key_not_found;
  case outcome_kind::not_a_number: return binary_status::not_a_number;
  case outcome_kind::not_stored:
  case outcome_kind::too_large: break;
  }
  switch (op) {
  case verb::add: return binary_status::key_exists;
  case verb::replace: return binary_status::key_not_found;
  default: return binary_status::not_stored;
  }
}

} // namespace

void append_packet(output& out, const answer_form& form, binary_status status,
                   std::string_view value, uint64_t cas) {
  if (form.quiet && status == binary_status::success)
    return;
  append_header(out, form, status, 0, 0, value.size(), cas);
  append(out, value);
}

void append_error(output& out, const answer_form& form, binary_status status) {
  append_packet(out, form, status, text_of(status));
}

void append_hit(output& out, const answer_form& form, verb op, std::string_view key,
                const version& x, uint64_t cas) {
  boost::endian::big_uint32_t flags = x.flags;
  auto with_key = answers_with_key(form.opcode);
  auto value = op == verb::touch ? std::string_view{} : x.value.view();
  append_header(out, form, binary_status::success, sizeof flags, with_key ? key.size() : 0,
                value.size(), cas);
  append(out, bytes_of(flags));
  if (with_key)
    append(out, key);
  append(out, value);
}

void append_miss(output& out, const answer_form& form, std::string_view key) {
  if (form.quiet)
    return;
  if (!answers_with_key(form.opcode))
    return append_error(out, form, binary_status::key_not_found);
  append_header(out, form, binary_status::key_not_found, 0, key.size(), 0, 0);
  append(out, key);
}

void append_outcome(output& out, const answer_form& form, verb op, const outcome& x,
                    std::string_view key) {
  if (x.kind == outcome_kind::not_found && op == verb::gat)
    return append_miss(out, form, key);
  auto status = status_of(op, x.kind);
  if (status != binary_status::success)
    return append_error(out, form, status);
  boost::endian::big_uint64_t number = x.number;
  append_packet(out, form, status,
                x.kind == outcome_kind::number ? bytes_of(number) : std::string_view{},
                x.kind == outcome_kind::deleted ? 0 : x.cas);
}

void append_failure(output& out, const answer_form& form, const caf::error& err) {
  if (err == errc::out_of_memory)
    return append_error(out, form, binary_status::out_of_memory);
  if (err == errc::overloaded)
    return append_error(out, form, binary_status::busy);
  append_packet(out, form, binary_status::temporary_failure, failure_reason(err));
}

void append_stats(output& out, const answer_form& form, std::string_view text) {
  if (text.starts_with("ERROR") || text.starts_with("CLIENT_ERROR"))
    return append_error(out, form, binary_status::key_not_found);
  if (text.starts_with("SERVER_ERROR"))
    return append_packet(out, form, binary_status::temporary_failure, text);
  constexpr std::string_view start = "STAT ";
  while (text.starts_with(start)) {
    auto line = text.substr(start.size(), text.find("\r\n") - start.size());
    text.remove_prefix(start.size() + line.size() + 2);
    auto name = line.substr(0, line.find(' '));
    auto value = line.substr(std::min(name.size() + 1, line.size()));
    append_header(out, form, binary_status::success, 0, name.size(), value.size(), 0);
    append(out, name);
    append(out, value);
  }
  append_header(out, form, binary_status::success, 0, 0, 0, 0);
}

} // namespace kai::memcache
