#include "protocol/blob.hpp"

#include <cstdlib>
#include <cstring>
#include <new>
#include <utility>

#include <caf/sec.hpp>

#include "protocol/limits.hpp"

namespace kai {

blob::blob(const blob& other) noexcept
    : buffer_(other.buffer_), offset_(other.offset_), size_(other.size_) {
  if (buffer_)
    buffer_->references.fetch_add(1, std::memory_order_relaxed);
}

blob::blob(blob&& other) noexcept
    : buffer_(std::exchange(other.buffer_, nullptr)), offset_(std::exchange(other.offset_, 0)),
      size_(std::exchange(other.size_, 0)) {}

blob& blob::operator=(blob other) noexcept {
  std::swap(buffer_, other.buffer_);
  std::swap(offset_, other.offset_);
  std::swap(size_, other.size_);
  return *this;
}

blob::~blob() {
  if (buffer_ && buffer_->references.fetch_sub(1, std::memory_order_acq_rel) == 1)
    std::free(buffer_);
}

blob blob::copy_of(std::string_view bytes) {
  auto result = uninitialized(bytes.size());
  if (!bytes.empty())
    std::memcpy(result.mutable_data(), bytes.data(), bytes.size());
  return result;
}

blob blob::uninitialized(size_t size) {
  if (size == 0)
    return {};
  auto* memory = size <= UINT32_MAX ? std::malloc(sizeof(buffer) + size) : nullptr;
  if (!memory)
    throw std::bad_alloc{};
  auto* shared = new (memory) buffer{{1}, static_cast<uint32_t>(size)};
  return {shared, 0, static_cast<uint32_t>(size)};
}

char* blob::mutable_data() noexcept { return buffer_ ? buffer_->bytes() + offset_ : nullptr; }

const char* blob::data() const noexcept { return buffer_ ? buffer_->bytes() + offset_ : ""; }

blob blob::slice(size_t offset, size_t length) const noexcept {
  if (length == 0)
    return {};
  blob result{*this};
  result.offset_ += static_cast<uint32_t>(offset);
  result.size_ = static_cast<uint32_t>(length);
  return result;
}

blob blob::compact() const {
  return buffer_ && buffer_->capacity > 2 * size_ + 64 ? copy_of(view()) : *this;
}

std::string to_string(const blob& x) { return '<' + std::to_string(x.size()) + " bytes>"; }

caf::error inspect(caf::serializer& sink, blob& x) {
  auto size = x.size();
  if (auto err = sink.begin_sequence(size))
    return err;
  if (size > 0)
    if (auto err = sink.apply_raw(size, const_cast<char*>(x.data())))
      return err;
  return sink.end_sequence();
}

caf::error inspect(caf::deserializer& source, blob& x) {
  size_t size = 0;
  if (auto err = source.begin_sequence(size))
    return err;
  if (size > limits::message_bytes_max)
    return caf::sec::invalid_argument;
  x = blob::uninitialized(size);
  if (size > 0)
    if (auto err = source.apply_raw(size, x.mutable_data()))
      return err;
  return source.end_sequence();
}

} // namespace kai
