#include "protocol/memcache/binary_parser.hpp"

#include <algorithm>
#include <cstring>
#include <new>
#include <utility>

#include "protocol/limits.hpp"

namespace kai::memcache {

namespace {

enum class part : uint8_t { none, optional, required };

/// One command's shape: which parts its packet has.
struct shape {
  verb op;
  bool quiet = false;
  uint8_t extras_bytes = 0;
  part key = part::none;
  bool has_value = false;
  /// Its extras may be left out.
  bool extras_optional = false;
};

constexpr shape storage_of(verb op, bool quiet) { return {op, quiet, 8, part::required, true}; }
constexpr shape concatenation_of(verb op, bool quiet) {
  return {op, quiet, 0, part::required, true};
}
constexpr shape on_key(verb op, bool quiet, uint8_t extras_bytes = 0) {
  return {op, quiet, extras_bytes, part::required};
}

std::optional<shape> shape_of(uint8_t opcode) {
  switch (opcode) {
  case 0x00: return on_key(verb::get, false);
  case 0x01: return storage_of(verb::set, false);
  case 0x02: return storage_of(verb::add, false);
  case 0x03: return storage_of(verb::replace, false);
  case 0x04: return on_key(verb::remove, false);
  case 0x05: return on_key(verb::incr, false, 20);
  case 0x06: return on_key(verb::decr, false, 20);
  case 0x07: return shape{verb::quit};
  case 0x08: return shape{verb::flush_all, false, 4, part::none, false, true};
  case 0x09: return on_key(verb::get, true);
  case 0x0a: return shape{verb::noop};
  case 0x0b: return shape{verb::version};
  case 0x0c: return on_key(verb::get, false);
  case 0x0d: return on_key(verb::get, true);
  case 0x0e: return concatenation_of(verb::append, false);
  case 0x0f: return concatenation_of(verb::prepend, false);
  case 0x10: return shape{verb::stats, false, 0, part::optional};
  case 0x11: return storage_of(verb::set, true);
  case 0x12: return storage_of(verb::add, true);
  case 0x13: return storage_of(verb::replace, true);
  case 0x14: return on_key(verb::remove, true);
  case 0x15: return on_key(verb::incr, true, 20);
  case 0x16: return on_key(verb::decr, true, 20);
  case 0x17: return shape{verb::quit, true};
  case 0x18: return shape{verb::flush_all, true, 4, part::none, false, true};
  case 0x19: return concatenation_of(verb::append, true);
  case 0x1a: return concatenation_of(verb::prepend, true);
  case 0x1c: return on_key(verb::touch, false, 4);
  case 0x1d: return on_key(verb::gat, false, 4);
  case 0x1e: return on_key(verb::gat, true, 4);
  case 0x20: return shape{verb::sasl_mechanisms};
  case 0x21: return concatenation_of(verb::sasl_start, false);
  case 0x22: return concatenation_of(verb::sasl_step, false);
  case 0x23: return on_key(verb::gat, false, 4);
  case 0x24: return on_key(verb::gat, true, 4);
  default: return std::nullopt;
  }
}

/// SASL, and version.
bool comes_before_authentication(uint8_t opcode) {
  return opcode == 0x0b || (opcode >= 0x20 && opcode <= 0x22);
}

bool fits(const shape& x, const binary_header& header) {
  if (header.extras_bytes != x.extras_bytes && !(x.extras_optional && header.extras_bytes == 0))
    return false;
  if (x.key == part::none ? header.key_bytes > 0 : x.key == part::required && header.key_bytes == 0)
    return false;
  return x.has_value || header.body_bytes == size_t{header.extras_bytes} + header.key_bytes;
}

template <class T>
T read_big(const char* at) {
  boost::endian::endian_buffer<boost::endian::order::big, T, sizeof(T) * 8> x;
  std::memcpy(&x, at, sizeof x);
  return x.value();
}

/// An exptime that keeps an incr or decr from making the counter.
constexpr uint32_t makes_nothing = 0xffffffff;

} // namespace

parse_status binary_parser::next(parse_result& out) {
  out.error = {};
  out.removes_key = false;
  out.status_code = binary_status::success;
  out.command.clear();
  for (;;) {
    step done;
    switch (mode_) {
    case mode::header: done = read_header(out); break;
    case mode::extras:
      if (!fill(extras_.data(), header_.extras_bytes))
        done = parse_status::input_pending;
      else
        mode_ = mode::key;
      break;
    case mode::key:
      if (filled_ == 0)
        key_ = blob::uninitialized(header_.key_bytes);
      if (!fill(key_.mutable_data(), header_.key_bytes))
        done = parse_status::input_pending;
      else
        done = begin_value(out);
      break;
    case mode::value:
      if (!fill(command_.value.mutable_data(), command_.value.size()))
        done = parse_status::input_pending;
      else
        done = complete(out);
      break;
    case mode::swallow: done = swallow(out); break;
    case mode::closed:
      rest_ = {};
      done = parse_status::input_pending;
      break;
    }
    if (done)
      return out.status = *done;
  }
}

/// Whether the part is complete.
bool binary_parser::fill(char* to, size_t size) {
  auto n = std::min(size - filled_, rest_.size());
  if (n > 0)
    std::memcpy(to + filled_, rest_.data(), n);
  filled_ += n;
  rest_.remove_prefix(n);
  if (filled_ < size)
    return false;
  filled_ = 0;
  return true;
}

binary_parser::step binary_parser::read_header(parse_result& out) {
  if (!fill(reinterpret_cast<char*>(&header_), sizeof header_))
    return parse_status::input_pending;
  command_.clear();
  command_.form = {codec::binary, false, header_.opcode, header_.opaque};
  if (header_.magic != binary_request_magic)
    return close(out, binary_status::success);
  if (size_t{header_.key_bytes} + header_.extras_bytes > header_.body_bytes)
    return close_behind_key(binary_status::unknown_command);
  if (authenticates_ && !comes_before_authentication(header_.opcode))
    return close_behind_key(binary_status::auth_error);
  if (header_.key_bytes > limits::key_bytes_max)
    return close_behind_key(binary_status::invalid_arguments);
  auto known = shape_of(header_.opcode);
  if (!known) {
    to_swallow_ = header_.body_bytes;
    swallow_status_ = binary_status::unknown_command;
    mode_ = mode::swallow;
    return std::nullopt;
  }
  if (!fits(*known, header_))
    return close_behind_key(binary_status::invalid_arguments);
  command_.op = known->op;
  command_.form.quiet = known->quiet;
  command_.cas = header_.cas;
  mode_ = mode::extras;
  return std::nullopt;
}

void binary_parser::read_extras() {
  auto* at = extras_.data();
  switch (header_.extras_bytes) {
  case 4: command_.exptime = read_big<uint32_t>(at); break;
  case 8:
    command_.flags = read_big<uint32_t>(at);
    command_.exptime = read_big<uint32_t>(at + 4);
    break;
  case 20:
    command_.delta = read_big<uint64_t>(at);
    command_.extras.initial = read_big<uint64_t>(at + 8);
    if (auto exptime = read_big<uint32_t>(at + 16); exptime != makes_nothing)
      command_.extras.vivify = exptime;
    break;
  default: break;
  }
}

binary_parser::step binary_parser::begin_value(parse_result& out) {
  read_extras();
  auto key = std::move(key_);
  if (command_.op == verb::stats)
    command_.argument = key.view();
  else if (header_.key_bytes > 0)
    command_.keys.push_back(std::move(key));
  auto stores =
      command_.op == verb::set || command_.op == verb::add || command_.op == verb::replace;
  auto for_set = command_.op == verb::set;
  if (stores && command_.cas != 0)
    command_.op = verb::cas;
  if (value_bytes() == 0)
    return complete(out);
  auto sasl = command_.op == verb::sasl_start || command_.op == verb::sasl_step;
  swallow_status_ = sasl ? binary_status::invalid_arguments : binary_status::too_large;
  if (value_bytes() <= (sasl ? limits::sasl_bytes_max : value_bytes_max_)) {
    try {
      command_.value = blob::uninitialized(value_bytes());
      mode_ = mode::value;
      return std::nullopt;
    } catch (const std::bad_alloc&) {
      swallow_status_ = binary_status::out_of_memory;
    }
  }
  // A `set` that does not fit takes the old value along.
  command_.extras.invalidates = for_set && !sasl;
  to_swallow_ = value_bytes();
  mode_ = mode::swallow;
  return std::nullopt;
}

binary_parser::step binary_parser::swallow(parse_result& out) {
  auto n = std::min(to_swallow_, rest_.size());
  to_swallow_ -= n;
  rest_.remove_prefix(n);
  if (to_swallow_ > 0)
    return parse_status::input_pending;
  return closes_ ? close(out, swallow_status_) : fail(out, swallow_status_);
}

binary_parser::step binary_parser::complete(parse_result& out) {
  mode_ = mode::header;
  filled_ = 0;
  out.command = std::move(command_);
  if (out.command.op == verb::quit)
    mode_ = mode::closed;
  return parse_status::complete;
}

binary_parser::step binary_parser::fail(parse_result& out, binary_status status) {
  mode_ = mode::header;
  filled_ = 0;
  out.status_code = status;
  auto removes_key = std::exchange(command_.extras.invalidates, false);
  out.command = std::move(command_);
  if (removes_key)
    out.remove_instead();
  return parse_status::error;
}

/// As memcached does: closing with what the client sends still unread would take the answer away
/// from it.
binary_parser::step binary_parser::close_behind_key(binary_status status) {
  to_swallow_ = size_t{header_.extras_bytes} + header_.key_bytes;
  swallow_status_ = status;
  closes_ = true;
  mode_ = mode::swallow;
  return std::nullopt;
}

binary_parser::step binary_parser::close(parse_result& out, binary_status status) {
  mode_ = mode::closed;
  rest_ = {};
  out.status_code = status;
  out.command = std::move(command_);
  return parse_status::fatal;
}

} // namespace kai::memcache
