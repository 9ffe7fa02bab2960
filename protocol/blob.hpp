#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include <caf/deserializer.hpp>
#include <caf/serializer.hpp>

namespace kai {

/// Immutable bytes, shared by reference count: a key, a value, an encoded batch. Copies and slices
/// share one allocation, so that fanning a value out to replicas copies nothing. 16 bytes itself.
/// Safe to share between threads once built.
class blob {
public:
  blob() noexcept = default;
  blob(const blob& other) noexcept;
  blob(blob&& other) noexcept;
  blob& operator=(blob other) noexcept;
  ~blob();

  static blob copy_of(std::string_view bytes);

  /// A blob of `size` bytes that the caller fills through `mutable_data` before sharing it.
  static blob uninitialized(size_t size);

  /// Only for the builder, while nobody else holds the blob.
  char* mutable_data() noexcept;

  const char* data() const noexcept;
  size_t size() const noexcept { return size_; }
  bool empty() const noexcept { return size_ == 0; }
  std::string_view view() const noexcept { return {data(), size_}; }
  std::string str() const { return std::string{view()}; }

  /// Bytes [offset, offset + length) of the same allocation.
  blob slice(size_t offset, size_t length) const noexcept;

  /// The same bytes in an allocation of their own, when this is a small part of a large one:
  /// what is kept for long must not keep a whole network batch alive.
  blob compact() const;

  friend bool operator==(const blob& a, const blob& b) noexcept { return a.view() == b.view(); }
  friend auto operator<=>(const blob& a, const blob& b) noexcept { return a.view() <=> b.view(); }

private:
  struct buffer {
    std::atomic<uint32_t> references;
    uint32_t capacity;
    char* bytes() noexcept { return reinterpret_cast<char*>(this + 1); }
  };

  blob(buffer* shared, uint32_t offset, uint32_t size) noexcept
      : buffer_(shared), offset_(offset), size_(size) {}

  buffer* buffer_ = nullptr;
  uint32_t offset_ = 0;
  uint32_t size_ = 0;
};

std::string to_string(const blob& x);

caf::error inspect(caf::serializer& sink, blob& x);
caf::error inspect(caf::deserializer& source, blob& x);

} // namespace kai
