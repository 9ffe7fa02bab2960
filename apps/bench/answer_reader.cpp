#include "apps/bench/answer_reader.hpp"

#include <algorithm>
#include <utility>

#include "apps/bench/limits.hpp"
#include "apps/bench/units.hpp"

namespace kai::bench {

namespace {

// The next word of `text`, which is removed from it together with the space behind it.
std::string_view take_word(std::string_view& text) {
  auto space = text.find(' ');
  auto word = text.substr(0, space);
  text.remove_prefix(space == std::string_view::npos ? text.size() : space + 1);
  return word;
}

} // namespace

void answer_reader::reset() {
  state_ = state::line;
  values_seen_ = false;
  missing_ = 0;
  partial_.clear();
}

bool answer_reader::feed(std::string_view bytes, answer_sink& sink) {
  while (!bytes.empty()) {
    if (state_ == state::value) {
      auto n = std::min<uint64_t>(missing_, bytes.size());
      sink.value_piece(bytes.substr(0, n));
      bytes.remove_prefix(n);
      missing_ -= n;
      if (missing_ == 0)
        state_ = state::value_end;
      continue;
    }
    auto newline = bytes.find('\n');
    auto piece = bytes.substr(0, newline);
    if (partial_.size() + piece.size() > limits::answer_line_bytes_max)
      return false;
    if (newline == std::string_view::npos) {
      partial_.append(piece);
      return true;
    }
    bytes.remove_prefix(newline + 1);
    bool good;
    if (partial_.empty()) {
      good = take_line(piece, sink);
    } else {
      partial_.append(piece);
      good = take_line(partial_, sink);
      partial_.clear();
    }
    if (!good)
      return false;
  }
  return true;
}

bool answer_reader::take_line(std::string_view line, answer_sink& sink) {
  if (line.empty() || line.back() != '\r')
    return false;
  line.remove_suffix(1);
  if (state_ == state::value_end)
    return line.empty() && end_value(sink);
  if (protocol_ == protocol_kind::text)
    return take_text_line(line, sink);
  return take_meta_line(line, sink);
}

bool answer_reader::take_text_line(std::string_view line, answer_sink& sink) {
  if (line.starts_with("VALUE ")) {
    auto rest = line.substr(6);
    auto key = take_word(rest);
    take_word(rest); // the flags say nothing here
    auto bytes = parse_number(take_word(rest));
    if (!bytes)
      return false;
    begin_value(key, *bytes, sink);
    return true;
  }
  if (line == "END")
    return sink.answered(std::exchange(values_seen_, false) ? outcome::hit : outcome::miss, line);
  values_seen_ = false;
  return sink.answered(line == "STORED" ? outcome::stored : outcome::refused, line);
}

bool answer_reader::take_meta_line(std::string_view line, answer_sink& sink) {
  auto rest = line;
  auto word = take_word(rest);
  if (word == "VA") {
    auto bytes = parse_number(take_word(rest));
    if (!bytes)
      return false;
    begin_value({}, *bytes, sink);
    return true;
  }
  if (word == "EN")
    return sink.answered(outcome::miss, line);
  return sink.answered(word == "HD" ? outcome::stored : outcome::refused, line);
}

void answer_reader::begin_value(std::string_view key, uint64_t bytes, answer_sink& sink) {
  values_seen_ = true;
  missing_ = bytes;
  state_ = bytes == 0 ? state::value_end : state::value;
  sink.value_begin(key, bytes);
}

bool answer_reader::end_value(answer_sink& sink) {
  state_ = state::line;
  sink.value_end();
  if (protocol_ == protocol_kind::text)
    return true;
  values_seen_ = false;
  return sink.answered(outcome::hit, {});
}

} // namespace kai::bench
