#include "storage/record_cache.hpp"

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
  item made;
  if (kept)
    made = {key.compact(), {compacted(value), digest_of(key.view(), value)}, bytes, false};
  std::lock_guard lock{mutex_};
  if (auto i = lookup(key.view()); i != items_.end())
    erase(i);
  if (!kept)
    return;
  while (bytes_ + bytes > bytes_max_)
    erase(std::prev(items_.end()));
  items_.push_front(std::move(made));
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
  auto i = lookup(key);
  if (i == items_.end())
    return std::nullopt;
  i->write_expected = false;
  return i->what.value;
}

std::optional<record_cache::entry> record_cache::peek(std::string_view key) {
  std::lock_guard lock{mutex_};
  auto i = lookup(key);
  if (i == items_.end() || i->write_expected)
    return std::nullopt;
  return i->what;
}

void record_cache::expect_write(std::string_view key) {
  std::lock_guard lock{mutex_};
  if (auto i = lookup(key); i != items_.end())
    i->write_expected = true;
}

size_t record_cache::bytes() const {
  std::lock_guard lock{mutex_};
  return bytes_;
}

/// Under the lock.
record_cache::items::iterator record_cache::lookup(std::string_view key) {
  auto found = by_key_.find(key);
  if (found == by_key_.end())
    return items_.end();
  items_.splice(items_.begin(), items_, found->second);
  return found->second;
}

void record_cache::erase(items::iterator i) {
  by_key_.erase(i->key.view());
  bytes_ -= i->bytes;
  items_.erase(i);
}

} // namespace kai
