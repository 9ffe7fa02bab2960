#include "protocol/memcache/text_parser.hpp"

#include <algorithm>
#include <cstring>
#include <new>
#include <utility>

#include "protocol/limits.hpp"
#include "protocol/memcache/number.hpp"
#include "protocol/memcache/words.hpp"

namespace kai::memcache {

namespace {

/// memcached strips one "\r", unless it is all there is.
std::string_view without_cr(std::string_view line) {
  if (line.size() > 1 && line.back() == '\r')
    line.remove_suffix(1);
  return line;
}

bool has_long_key(std::string_view words) {
  while (words.size() > limits::key_bytes_max) {
    auto end = std::min(words.find(' '), words.size());
    if (end > limits::key_bytes_max)
      return true;
    words.remove_prefix(std::min(end + 1, words.size()));
  }
  return false;
}

} // namespace

parse_status text_parser::next(parse_result& out) {
  out.error = {};
  out.removes_key = false;
  if (mode_ == mode::line)
    out.command.clear();
  else
    out.command = std::move(command_);
  for (;;) {
    step done;
    switch (mode_) {
    case mode::line: done = read_line(out); break;
    case mode::keys: done = read_keys(out); break;
    case mode::value: done = read_value(out); break;
    case mode::swallow: done = swallow(out); break;
    case mode::closed:
      rest_ = {};
      done = parse_status::input_pending;
      break;
    }
    if (!done)
      continue;
    if (*done == parse_status::input_pending && mode_ != mode::line)
      command_ = std::move(out.command);
    return out.status = *done;
  }
}

// --- lines ---------------------------------------------------------------------------------------

text_parser::step text_parser::read_line(parse_result& out) {
  if (rest_.empty())
    return parse_status::input_pending;
  auto end = rest_.find('\n');
  if (end == std::string_view::npos) {
    pending_.append(rest_);
    rest_ = {};
    return on_unfinished_line(out);
  }
  auto line = rest_.substr(0, end);
  rest_.remove_prefix(end + 1);
  if (pending_.empty())
    return on_line(line, out);
  pending_.append(line);
  auto result = on_line(pending_, out);
  if (mode_ != mode::keys)
    drop_pending();
  return result;
}

text_parser::step text_parser::on_line(std::string_view line, parse_result& out) {
  std::string_view keys;
  if (line.size() >= limits::command_line_at_once_bytes_max &&
      (authenticates_ || !starts_endless_get(line, out.command, keys)))
    return close();
  if (authenticates_)
    return on_credentials_line(line, out);
  auto meaning = interpret_line(without_cr(line), out.command);
  switch (meaning.kind) {
  case line_kind::complete:
    if (out.command.op == verb::quit)
      close();
    return parse_status::complete;
  case line_kind::error: return refuse(meaning.error, out);
  case line_kind::fatal: return close();
  case line_kind::data: return begin_value(meaning.data_bytes, out);
  case line_kind::swallow: return begin_swallow(meaning.data_bytes, meaning.error);
  case line_kind::keys: begin_keys(meaning.keys, true); break;
  }
  return std::nullopt;
}

text_parser::step text_parser::on_unfinished_line(parse_result& out) {
  if (pending_.size() <= limits::command_line_bytes_max)
    return parse_status::input_pending;
  std::string_view keys;
  if (authenticates_ || !starts_endless_get(pending_, out.command, keys))
    return close();
  begin_keys(keys, false);
  return std::nullopt;
}

/// "set <anything> <anything> <anything> <bytes>", and more words or not.
text_parser::step text_parser::on_credentials_line(std::string_view line, parse_result& out) {
  line = line.substr(0, line.find('\0'));
  auto sets = take_word(line) == "set";
  words_of_line words{line};
  auto bytes = words.count >= 4 ? read_unsigned(words[3]) : std::nullopt;
  if (!sets || !bytes)
    return refuse(unauthenticated, out);
  out.command.op = verb::set;
  auto size = static_cast<uint32_t>(*bytes);
  // Nobody's are longer.
  if (size > std::min(limits::sasl_bytes_max, value_bytes_max_))
    return begin_swallow(size, unauthenticated);
  return begin_value(size, out);
}

/// An error of a command with noreply goes unsaid.
text_parser::step text_parser::refuse(std::string_view error, parse_result& out) {
  mode_ = mode::line;
  if (out.command.noreply) {
    out.command.clear();
    return std::nullopt;
  }
  out.error = error;
  return parse_status::error;
}

text_parser::step text_parser::close() {
  mode_ = mode::closed;
  rest_ = {};
  pending_ = {};
  return parse_status::fatal;
}

void text_parser::drop_pending() {
  if (pending_.capacity() > 2 * limits::command_line_bytes_max)
    pending_ = {};
  else
    pending_.clear();
}

// --- data blocks ---------------------------------------------------------------------------------

text_parser::step text_parser::begin_value(size_t bytes, parse_result& out) {
  swallow_error_ = too_large_for_cache;
  if (bytes <= value_bytes_max_) {
    try {
      out.command.value = blob::uninitialized(bytes);
      filled_ = 0;
      ends_well_ = true;
      mode_ = mode::value;
      return std::nullopt;
    } catch (const std::bad_alloc&) {
      swallow_error_ = out_of_memory;
    }
  }
  // What a `set` does not replace, and an `ms` in any mode, goes.
  removes_key_ = out.command.op == verb::set || out.command.form.through == codec::meta;
  return begin_swallow(bytes, swallow_error_);
}

text_parser::step text_parser::begin_swallow(size_t bytes, std::string_view error) {
  swallow_error_ = error;
  to_swallow_ = bytes + 2;
  mode_ = mode::swallow;
  return std::nullopt;
}

text_parser::step text_parser::read_value(parse_result& out) {
  auto& value = out.command.value;
  if (filled_ < value.size()) {
    auto n = std::min(value.size() - filled_, rest_.size());
    if (n > 0)
      std::memcpy(value.mutable_data() + filled_, rest_.data(), n);
    filled_ += n;
    rest_.remove_prefix(n);
  }
  for (; filled_ < value.size() + 2; ++filled_) {
    if (rest_.empty())
      return parse_status::input_pending;
    ends_well_ &= rest_.front() == (filled_ == value.size() ? '\r' : '\n');
    rest_.remove_prefix(1);
  }
  if (!ends_well_)
    return refuse(authenticates_ ? bad_termination : bad_data_chunk, out);
  mode_ = mode::line;
  return parse_status::complete;
}

/// memcached answers only when the whole block has come.
text_parser::step text_parser::swallow(parse_result& out) {
  auto n = std::min(to_swallow_, rest_.size());
  to_swallow_ -= n;
  rest_.remove_prefix(n);
  if (to_swallow_ > 0)
    return parse_status::input_pending;
  if (!std::exchange(removes_key_, false))
    return refuse(swallow_error_, out);
  mode_ = mode::line;
  out.error = out.command.noreply ? std::string_view{} : swallow_error_;
  out.remove_instead();
  return parse_status::error;
}

// --- keys ----------------------------------------------------------------------------------------

void text_parser::begin_keys(std::string_view source, bool whole_line) {
  mode_ = mode::keys;
  source_is_last_ = line_ended_ = whole_line;
  line_refused_ = false;
  set_source(source);
}

void text_parser::set_source(std::string_view source) {
  auto nul = source.find('\0');
  if (nul != std::string_view::npos)
    source_is_last_ = true;
  source_ = source.substr(0, nul);
  source_checked_ = false;
}

text_parser::step text_parser::read_keys(parse_result& out) {
  for (;;) {
    while (!source_.empty()) {
      auto first = source_.find_first_not_of(' ');
      source_.remove_prefix(std::min(first, source_.size()));
      auto end = source_.find(' ');
      if (source_.empty() || (end == std::string_view::npos && !source_is_last_))
        break;
      if (auto done = take_key(source_.substr(0, end), out))
        return done;
    }
    if (line_ended_)
      return finish_keys(out);
    if (!refill_keys(out))
      return parse_status::input_pending;
  }
}

text_parser::step text_parser::take_key(std::string_view key, parse_result& out) {
  auto& command = out.command;
  auto full = command.keys.size() == limits::keys_per_command_max;
  if (key.size() > limits::key_bytes_max || (full && has_long_key_ahead())) {
    refuse_keys(out);
    return std::nullopt;
  }
  if (full) {
    command.more = true;
    command_.clear();
    command_.op = command.op;
    command_.exptime = command.exptime;
    return parse_status::complete;
  }
  command.keys.push_back(blob::copy_of(key));
  source_.remove_prefix(key.size());
  return std::nullopt;
}

/// memcached answers a line with a key that is too long by the error alone. To do the same, what is
/// at hand of a line is searched for one before a piece of it goes out.
bool text_parser::has_long_key_ahead() {
  if (source_checked_)
    return false;
  source_checked_ = true;
  return has_long_key(source_is_last_ ? source_ : source_.substr(0, source_.rfind(' ') + 1));
}

void text_parser::refuse_keys(parse_result& out) {
  out.command.keys.clear();
  line_refused_ = true;
  source_is_last_ = true;
  source_ = {};
}

/// Takes more of the line from the chunk; false when that is used up. `source_` is the start of a
/// key whose end was not at hand, or empty.
bool text_parser::refill_keys(parse_result& out) {
  // One more for the "\r" of the line's end.
  constexpr auto start_max = limits::key_bytes_max + 1;
  if (source_.size() > start_max)
    refuse_keys(out);
  pending_.assign(source_.data(), source_.size());
  source_ = pending_;
  if (rest_.empty())
    return false;
  auto in_key = !pending_.empty();
  auto end = in_key ? rest_.find_first_of(std::string_view{" \n"}) : rest_.find('\n');
  auto part = rest_.substr(0, end);
  rest_.remove_prefix(part.size());
  if (end != std::string_view::npos && rest_.front() == '\n') {
    rest_.remove_prefix(1);
    line_ended_ = true;
  }
  if (source_is_last_)
    return true;
  if (in_key) {
    pending_.append(part.substr(0, start_max + 1));
    if (end != std::string_view::npos && !line_ended_)
      pending_ += ' ';
    part = pending_;
  }
  if (line_ended_) {
    source_is_last_ = true;
    if (!part.empty() && part.back() == '\r')
      part.remove_suffix(1);
  }
  set_source(part);
  return true;
}

text_parser::step text_parser::finish_keys(parse_result& out) {
  mode_ = mode::line;
  source_ = {};
  drop_pending();
  if (line_refused_)
    return refuse(bad_format, out);
  auto needs_key = out.command.op == verb::get || out.command.op == verb::gets;
  if (needs_key && out.command.keys.empty())
    return refuse(unknown_command, out);
  return parse_status::complete;
}

} // namespace kai::memcache
