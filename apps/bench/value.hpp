#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace kai::bench {

/// Who wrote a value: the run, and the count of writes to that key within the run, from 1.
struct value_stamp {
  uint32_t run = 0;
  uint32_t version = 0;
};

/// "RRRRRRRR VVVVVVVV KKKKKKKKKKKKKKKK LLLLLLLL ", in hexadecimal: run, version, the key's hash and
/// the length of the whole value. Then filler, which follows from all of them.
inline constexpr size_t value_header_bytes = 44;

/// Makes values of which every byte follows from key, stamp and length. Filler is cut out of one
/// block of random bytes, so a value costs one copy. Safe to use from several threads.
class value_maker {
public:
  /// `bytes_max` is the longest value that will be made or checked.
  explicit value_maker(uint64_t bytes_max);

  /// Appends a value of `bytes`. One shorter than the header is the header's beginning.
  void append_to(std::string& out, uint64_t key_hash, value_stamp stamp, uint64_t bytes) const;

  /// The filler of such a value.
  std::string_view filler(uint64_t key_hash, value_stamp stamp, uint64_t bytes) const;

  uint64_t bytes_max() const { return bytes_max_; }

private:
  uint64_t bytes_max_;
  std::string block_;
};

/// Checks a value piece by piece, as it comes from a socket, without keeping it.
class value_checker {
public:
  explicit value_checker(const value_maker& maker) : maker_(&maker) {}

  /// A value of `bytes` for the key begins.
  void begin(uint64_t key_hash, uint64_t bytes);
  void feed(std::string_view piece);

  /// The writer's stamp, when every byte was as it must be.
  std::optional<value_stamp> finish() const;

private:
  bool take_header();

  const value_maker* maker_;
  uint64_t key_hash_ = 0;
  uint64_t bytes_ = 0;
  value_stamp stamp_;
  std::string header_;
  std::string_view rest_;
  bool good_ = false;
};

} // namespace kai::bench
