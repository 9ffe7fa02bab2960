#include "storage/record_cache.hpp"

#include <iterator>
#include <utility>

#include "protocol/hash.hpp"

namespace kai {

namespace {

/// Of an item, its place in the list and in the table, and its blobs' headers.
constexpr size_t overhead = 256;

/// What is kept must not keep the batch alive that it came in.
record compacted(record x) {
  for (auto& v : x.versions)
    v.value = v.value.compact();
  return x;
}

size_t size_of(const blob& key, const record& x) {
  auto result = overhead + key.size() + x.seen.size() * sizeof(dot);
  for (auto& v : x.versions)
    result += sizeof(version) + v.value.size();
  return result;
}

} // namespace

size_t record_cache::hasher::operator()(std::string_view x) const {
  return static_cast<size_t>(key_hash(x));
}

void record_cache::put(const blob& key, const record& value) {
  auto bytes = size_of(key, value);
  auto kept = !value.empty() && bytes <= bytes_max_ / 64;
  auto held = kept ? compacted(value) : record{};
  auto digest = kept ? digest_of(key.view(), value) : 0;
  std::lock_guard lock{mutex_};
  auto found = by_key_.find(key.view());
  if (!kept) {
    if (found != by_key_.end())
      erase(found->second);
    return;
  }
  if (found != by_key_.end()) {
    auto& x = *found->second;
    bytes_ -= x.bytes;
    // What was there goes when nobody waits for the lock any more.
    std::swap(x.value, held);
    x.digest = digest;
    x.bytes = bytes;
    x.write_expected = false;
    x.used = true;
    bytes_ += bytes;
    make_room(0);
    return;
  }
  make_room(bytes);
  items_.push_front({key.compact(), std::move(held), digest, bytes});
  by_key_.emplace(items_.front().key.view(), items_.begin());
  bytes_ += bytes;
}

void record_cache::clear() {
  std::lock_guard lock{mutex_};
  by_key_.clear();
  items_.clear();
  bytes_ = 0;
}

std::optional<record> record_cache::find(std::string_view key) {
  std::lock_guard lock{mutex_};
  auto found = lookup(key);
  if (!found)
    return std::nullopt;
  found->write_expected = false;
  return found->value;
}

std::optional<record> record_cache::peek(std::string_view key) {
  std::lock_guard lock{mutex_};
  auto found = lookup_settled(key);
  return found ? std::optional{found->value} : std::nullopt;
}

std::optional<uint64_t> record_cache::peek_digest(std::string_view key) {
  std::lock_guard lock{mutex_};
  auto found = lookup_settled(key);
  return found ? std::optional{found->digest} : std::nullopt;
}

void record_cache::expect_write(std::string_view key) {
  std::lock_guard lock{mutex_};
  if (auto found = lookup(key))
    found->write_expected = true;
}

size_t record_cache::bytes() const {
  std::lock_guard lock{mutex_};
  return bytes_;
}

// --- under the lock ------------------------------------------------------------------------------

record_cache::item* record_cache::lookup(std::string_view key) {
  auto found = by_key_.find(key);
  if (found == by_key_.end())
    return nullptr;
  found->second->used = true;
  return &*found->second;
}

const record_cache::item* record_cache::lookup_settled(std::string_view key) {
  auto found = lookup(key);
  return found && !found->write_expected ? found : nullptr;
}

void record_cache::make_room(size_t bytes) {
  while (bytes_ + bytes > bytes_max_) {
    auto last = std::prev(items_.end());
    if (std::exchange(last->used, false))
      items_.splice(items_.begin(), items_, last);
    else
      erase(last);
  }
}

void record_cache::erase(items::iterator i) {
  by_key_.erase(i->key.view());
  bytes_ -= i->bytes;
  items_.erase(i);
}

} // namespace kai
