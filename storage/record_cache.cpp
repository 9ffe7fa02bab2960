#include "storage/record_cache.hpp"

#include <algorithm>
#include <bit>
#include <optional>

#include "protocol/hash.hpp"
#include "protocol/wire.hpp"
#include "storage/record_codec.hpp"

namespace kai {

namespace {

/// Of an item's head (record_table.hpp).
constexpr uint32_t used_mark = 1u << 31;
constexpr uint32_t write_expected_mark = 1u << 30;

/// Records that the clock's hand looks at for one that goes, before it takes a used one.
constexpr int second_chances_max = 64;

/// A table's segment for each so many bytes: some hundred records.
constexpr size_t segment_bytes = 256 * 1024;
constexpr unsigned segment_bits_max = 12;

unsigned segment_bits_for(size_t bytes_max) {
  auto bits = static_cast<unsigned>(std::bit_width(bytes_max / segment_bytes));
  return std::min(bits, segment_bits_max);
}

/// Behind head and key of an item: digest_of the record, and what record_codec made of it. It is
/// under the same key wherever it is.
constexpr partition_id any_partition = 0;

blob behind_key(const blob& item) {
  auto key = record_table::key_of(item);
  auto start = static_cast<size_t>(key.data() + key.size() - item.data());
  return item.slice(start, item.size() - start);
}

/// nullopt: the memory has changed.
std::optional<record> record_in(const blob& item, std::string_view key) {
  auto rest = behind_key(item);
  auto packed = rest.slice(sizeof(uint64_t), rest.size() - sizeof(uint64_t));
  auto result = unpack_record(any_partition, area::data, key, packed);
  return result ? std::optional{std::move(*result)} : std::nullopt;
}

} // namespace

record_cache::record_cache(size_t bytes_max)
    : bytes_max_(bytes_max), items_(segment_bits_for(bytes_max)) {}

void record_cache::put(const blob& key, const record& value) {
  auto hash = key_hash(key.view());
  blob item;
  if (!value.empty()) {
    scratch_.clear();
    byte_writer out{scratch_};
    out.u32(used_mark);
    out.bytes(key.view());
    out.u64(digest_of(key.view(), value));
    pack_record(scratch_, any_partition, area::data, key.view(), value);
    if (scratch_.size() <= bytes_max_ / 64)
      item = blob::copy_of(scratch_);
  }
  // What was there goes when nobody waits for the lock any more.
  blob before;
  std::lock_guard lock{mutex_};
  if (item.empty()) {
    before = items_.erase(hash, key.view());
  } else {
    item_bytes_ += record_table::charge(item);
    before = items_.put(hash, std::move(item));
  }
  item_bytes_ -= record_table::charge(before);
  make_room_beside(hash);
}

void record_cache::clear() {
  std::lock_guard lock{mutex_};
  items_ = record_table{segment_bits_for(bytes_max_)};
  item_bytes_ = 0;
}

std::optional<record> record_cache::find(std::string_view key) {
  auto hash = key_hash(key);
  blob item;
  {
    std::lock_guard lock{mutex_};
    auto* found = lookup(hash, key);
    if (!found)
      return std::nullopt;
    record_table::set_head(found->item, used_mark);
    item = found->item;
  }
  auto result = record_in(item, key);
  if (!result) {
    std::lock_guard lock{mutex_};
    erase(hash, key);
  }
  return result;
}

// A look-up waits for memory three times: for the slot, the item's key and its record. Those of
// many are asked for at once.
void record_cache::expect(std::span<const uint64_t> key_hashes) {
  std::lock_guard lock{mutex_};
  for (auto hash : key_hashes)
    items_.fetch_slot(hash);
  for (auto hash : key_hashes)
    items_.fetch_item(hash);
}

std::optional<record> record_cache::peek(std::string_view key) {
  auto item = settled(key);
  return item.empty() ? std::nullopt : record_in(item, key);
}

std::optional<uint64_t> record_cache::peek_digest(std::string_view key) {
  auto item = settled(key);
  if (item.empty())
    return std::nullopt;
  return byte_reader{behind_key(item).view()}.u64();
}

void record_cache::expect_write(std::string_view key) {
  auto hash = key_hash(key);
  std::lock_guard lock{mutex_};
  if (auto* found = lookup(hash, key))
    record_table::set_head(found->item, used_mark | write_expected_mark);
}

size_t record_cache::bytes() const {
  std::lock_guard lock{mutex_};
  return item_bytes_ + items_.slot_bytes();
}

blob record_cache::settled(std::string_view key) {
  auto hash = key_hash(key);
  std::lock_guard lock{mutex_};
  auto* found = lookup(hash, key);
  if (!found)
    return {};
  auto head = record_table::head_of(found->item);
  if (head & write_expected_mark)
    return {};
  if (!(head & used_mark))
    record_table::set_head(found->item, head | used_mark);
  return found->item;
}

// --- under the lock ------------------------------------------------------------------------------

record_table::slot* record_cache::lookup(uint64_t hash, std::string_view key) {
  return items_.find(hash, key);
}

void record_cache::erase(uint64_t hash, std::string_view key) {
  item_bytes_ -= record_table::charge(items_.erase(hash, key));
}

void record_cache::make_room_beside(uint64_t newest) {
  while (items_.size() > 1 && item_bytes_ + items_.slot_bytes() > bytes_max_)
    evict_one_beside(newest);
}

void record_cache::evict_one_beside(uint64_t newest) {
  auto at = items_.lower_bound(clock_hand_);
  for (int looked = 0;; at = items_.next(at)) {
    if (items_.end(at))
      at = items_.lower_bound(0);
    if (items_[at].hash == newest)
      continue;
    auto& item = items_[at].item;
    auto head = record_table::head_of(item);
    if (!(head & used_mark) || ++looked > second_chances_max)
      break;
    record_table::set_head(item, head & ~used_mark);
  }
  clock_hand_ = items_[at].hash;
  // The key is the item's own.
  auto item = items_[at].item;
  erase(clock_hand_, record_table::key_of(item));
}

} // namespace kai
