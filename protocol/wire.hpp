#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include <boost/endian/conversion.hpp>

#include "protocol/blob.hpp"

/// The byte layout that disk and network share: fixed-width numbers are little-endian, lengths and
/// small numbers are LEB128 varints, strings are a varint length and the bytes.
namespace kai {

/// Appends to a string.
class byte_writer {
public:
  explicit byte_writer(std::string& out) : out_(out) {}

  void u8(uint8_t x) { out_.push_back(static_cast<char>(x)); }
  void u16(uint16_t x) { fixed(x); }
  void u32(uint32_t x) { fixed(x); }
  void u64(uint64_t x) { fixed(x); }

  void varint(uint64_t x) {
    while (x >= 0x80) {
      u8(static_cast<uint8_t>(x) | 0x80);
      x >>= 7;
    }
    u8(static_cast<uint8_t>(x));
  }

  void bytes(std::string_view x) {
    varint(x.size());
    out_.append(x);
  }

private:
  template <class T>
  void fixed(T x) {
    boost::endian::native_to_little_inplace(x);
    out_.append(reinterpret_cast<const char*>(&x), sizeof x);
  }

  std::string& out_;
};

/// Reads what a byte_writer wrote. After the first failure every read gives 0 and `ok` is false, so
/// callers check once at the end. Never reads past the given bytes.
class byte_reader {
public:
  /// `read_blob` copies.
  explicit byte_reader(std::string_view in) : in_(in) {}

  /// `read_blob` gives slices of `owner`.
  explicit byte_reader(const blob& owner) : in_(owner.view()), owner_(&owner) {}

  bool ok() const { return ok_; }
  /// Everything was read, and nothing was wrong.
  bool done() const { return ok_ && in_.empty(); }
  size_t remaining() const { return in_.size(); }
  void fail() {
    ok_ = false;
    in_ = {};
  }

  uint8_t u8() { return fixed<uint8_t>(); }
  uint16_t u16() { return fixed<uint16_t>(); }
  uint32_t u32() { return fixed<uint32_t>(); }
  uint64_t u64() { return fixed<uint64_t>(); }

  uint64_t varint() {
    uint64_t x = 0;
    for (int shift = 0; shift < 64; shift += 7) {
      auto byte = u8();
      if (!ok_ || (shift == 63 && byte > 1))
        break;
      x |= static_cast<uint64_t>(byte & 0x7f) << shift;
      if (byte < 0x80)
        return x;
    }
    fail();
    return 0;
  }

  /// A varint that counts elements of at least `element_bytes` each: more than can follow fails, so
  /// that a damaged count never makes anyone reserve memory for it.
  size_t count(size_t element_bytes = 1) {
    auto n = varint();
    if (n > in_.size() / element_bytes) {
      fail();
      return 0;
    }
    return static_cast<size_t>(n);
  }

  std::string_view bytes() {
    auto n = count();
    auto result = in_.substr(0, n);
    in_.remove_prefix(n);
    return result;
  }

  std::string str() { return std::string{bytes()}; }

  blob read_blob() {
    auto x = bytes();
    return owner_ ? owner_->slice(static_cast<size_t>(x.data() - owner_->data()), x.size())
                  : blob::copy_of(x);
  }

private:
  template <class T>
  T fixed() {
    T x = 0;
    if (in_.size() < sizeof x) {
      fail();
      return 0;
    }
    in_.copy(reinterpret_cast<char*>(&x), sizeof x);
    in_.remove_prefix(sizeof x);
    return boost::endian::little_to_native(x);
  }

  std::string_view in_;
  const blob* owner_ = nullptr;
  bool ok_ = true;
};

} // namespace kai
