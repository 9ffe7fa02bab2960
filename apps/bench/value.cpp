#include "apps/bench/value.hpp"

#include <algorithm>
#include <charconv>

#include "apps/bench/random.hpp"

namespace kai::bench {

namespace {

// How far apart the filler of two values may begin.
constexpr uint64_t spread_bytes = 32 * 1024;

void append_hex(std::string& out, uint64_t x, unsigned digits) {
  for (auto i = digits; i > 0; --i)
    out.push_back("0123456789abcdef"[(x >> (4 * (i - 1))) & 15]);
  out.push_back(' ');
}

void append_header(std::string& out, uint64_t key_hash, value_stamp stamp, uint64_t bytes) {
  append_hex(out, stamp.run, 8);
  append_hex(out, stamp.version, 8);
  append_hex(out, key_hash, 16);
  append_hex(out, bytes, 8);
}

std::optional<uint32_t> hex_at(std::string_view text, size_t position) {
  uint32_t result = 0;
  const auto* begin = text.data() + position;
  auto [end, error] = std::from_chars(begin, begin + 8, result, 16);
  if (error != std::errc{} || end != begin + 8)
    return std::nullopt;
  return result;
}

} // namespace

value_maker::value_maker(uint64_t bytes_max) : bytes_max_(bytes_max) {
  block_.reserve(bytes_max + spread_bytes);
  random_source random{0};
  while (block_.size() < bytes_max + spread_bytes)
    block_.push_back(static_cast<char>('!' + random.next() % 94));
}

std::string_view value_maker::filler(uint64_t key_hash, value_stamp stamp, uint64_t bytes) const {
  if (bytes <= value_header_bytes || bytes > bytes_max_)
    return {};
  auto who = (uint64_t{stamp.run} << 32) | stamp.version;
  auto start = mix(key_hash ^ mix(who)) % spread_bytes;
  return std::string_view{block_}.substr(start, bytes - value_header_bytes);
}

void value_maker::append_to(std::string& out, uint64_t key_hash, value_stamp stamp,
                            uint64_t bytes) const {
  auto start = out.size();
  append_header(out, key_hash, stamp, bytes);
  out.append(filler(key_hash, stamp, bytes));
  out.resize(start + bytes);
}

void value_checker::begin(uint64_t key_hash, uint64_t bytes) {
  key_hash_ = key_hash;
  bytes_ = bytes;
  header_.clear();
  rest_ = {};
  good_ = bytes >= value_header_bytes && bytes <= maker_->bytes_max();
}

bool value_checker::take_header() {
  auto run = hex_at(header_, 0);
  auto version = hex_at(header_, 9);
  if (!run || !version)
    return false;
  stamp_ = {*run, *version};
  std::string expected;
  append_header(expected, key_hash_, stamp_, bytes_);
  rest_ = maker_->filler(key_hash_, stamp_, bytes_);
  return header_ == expected;
}

void value_checker::feed(std::string_view piece) {
  if (!good_)
    return;
  if (header_.size() < value_header_bytes) {
    auto n = std::min(piece.size(), value_header_bytes - header_.size());
    header_.append(piece.substr(0, n));
    piece.remove_prefix(n);
    if (header_.size() < value_header_bytes)
      return;
    if (!take_header()) {
      good_ = false;
      return;
    }
  }
  good_ = piece.size() <= rest_.size() && rest_.starts_with(piece);
  if (good_)
    rest_.remove_prefix(piece.size());
}

std::optional<value_stamp> value_checker::finish() const {
  if (!good_ || header_.size() < value_header_bytes || !rest_.empty())
    return std::nullopt;
  return stamp_;
}

} // namespace kai::bench
