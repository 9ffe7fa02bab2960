#include "storage/memory_engine.hpp"

#include <algorithm>
#include <bit>
#include <utility>

#include "protocol/errc.hpp"
#include "protocol/wire.hpp"
#include "storage/record_codec.hpp"

namespace kai {

namespace {

constexpr unsigned data_segment_bits = 10;

/// Records that the clock's hand looks at for one eviction before it takes a marked one.
constexpr int second_chances_max = 64;

/// Slots that the hand passes for one eviction, delete marks among them: an engine that holds
/// little else refuses a write rather than hold up what waits behind it, and goes on from there.
constexpr int passed_max = 4096;

constexpr uint32_t used_mark = 1u << 31;
constexpr uint32_t live_mark = 1u << 30;
constexpr uint32_t counted_max = live_mark - 1;

constexpr auto head_of = record_table::head_of;
constexpr auto set_head = record_table::set_head;
constexpr auto charge = record_table::charge;

/// The part of an item that record_codec made.
blob packed_record(const blob& item, std::string_view key) {
  auto start = static_cast<size_t>(key.data() + key.size() - item.data());
  return item.slice(start, item.size() - start);
}

uint64_t first_hash(partition_id partition, uint32_t partitions) {
  auto bits = std::countr_zero(partitions);
  return bits == 0 ? 0 : uint64_t{partition} << (64 - bits);
}

bool is_tombstone(const write_batch::entry& change) {
  return change.value && footprint_of({}, *change.value).what == footprint::state::tombstone;
}

} // namespace

memory_engine::memory_engine(memory_engine_options options)
    : options_(std::move(options)), data_(data_segment_bits) {}

record_table* memory_engine::table_of(partition_id partition, area where) {
  if (where == area::data)
    return &data_;
  auto i = others_.find({partition, where});
  return i == others_.end() ? nullptr : &i->second;
}

record_table& memory_engine::make_table(partition_id partition, area where) {
  if (where == area::data)
    return data_;
  return others_.try_emplace({partition, where}, 0u).first->second;
}

caf::expected<blob> memory_engine::item_of(partition_id partition, area where,
                                           std::string_view key) {
  auto hash = key_hash(key);
  auto* table = table_of(partition, where);
  if (table == &data_ && partition_of(hash, options_.partitions) != partition)
    return blob{};
  auto* found = table ? table->find(hash, key) : nullptr;
  if (!found) {
    if (!unknown_.empty() && unknown_.count({partition, where, std::string{key}}) > 0)
      return failure(errc::damaged, "the record was damaged and is set aside");
    return blob{};
  }
  auto head = head_of(found->item);
  if (!(head & used_mark))
    set_head(found->item, head | used_mark);
  return found->item;
}

caf::expected<uint64_t> memory_engine::digest(partition_id partition, area where,
                                              std::string_view key) {
  auto item = item_of(partition, where, key);
  if (!item)
    return std::move(item.error());
  if (item->empty())
    return 0;
  if (auto result = packed_digest(key, packed_record(*item, record_table::key_of(*item))))
    return *result;
  // It is damaged, and set aside.
  return engine::digest(partition, where, key);
}

caf::expected<std::optional<record>> memory_engine::read(partition_id partition, area where,
                                                         std::string_view key) {
  auto item = item_of(partition, where, key);
  if (!item)
    return std::move(item.error());
  if (item->empty())
    return std::optional<record>{};
  auto result =
      unpack_record(partition, where, key, packed_record(*item, record_table::key_of(*item)));
  if (!result) {
    set_aside(partition, where, key);
    return result.error();
  }
  return std::optional<record>{std::move(*result)};
}

// A read waits for memory three times: for the slot, the item's key and its record. Those of a
// whole batch are asked for at once.
void memory_engine::expect(std::span<const uint64_t> key_hashes) {
  for (auto hash : key_hashes)
    data_.fetch_slot(hash);
  for (auto hash : key_hashes)
    data_.fetch_item(hash);
}

void memory_engine::set_aside(partition_id partition, area where, std::string_view key) {
  // The key may be the item's own.
  std::string name{key};
  auto& table = make_table(partition, where);
  slot_bytes_ -= table.slot_bytes();
  auto item = table.erase(key_hash(name), name);
  slot_bytes_ += table.slot_bytes();
  item_bytes_ -= charge(item);
  count(item, where, -1);
  unknown_.emplace(partition, where, name);
  ++stats_.damaged;
  if (options_.hooks.log)
    options_.hooks.log("memory engine: a record of partition " + std::to_string(partition) +
                       " changed in memory and was dropped; check this machine's memory");
  if (options_.hooks.lost)
    options_.hooks.lost(partition);
}

void memory_engine::count(const blob& item, area where, int sign) {
  if (where != area::data || item.empty())
    return;
  auto head = head_of(item);
  if (head & live_mark) {
    stats_.keys += sign;
    stats_.bytes += static_cast<uint64_t>(sign) * (head & counted_max);
  } else {
    stats_.tombstones += sign;
  }
}

caf::error memory_engine::check(const write_batch& batch) const {
  for (auto& change : batch.entries())
    if (change.where == area::data &&
        partition_of(key_hash(change.key.view()), options_.partitions) != change.partition)
      return failure(errc::refused, "memory engine: a key of another partition was written to " +
                                        std::to_string(change.partition));
  return caf::none;
}

std::vector<memory_engine::prepared> memory_engine::prepare(const write_batch& batch) {
  std::vector<prepared> result;
  result.reserve(batch.entries().size());
  for (auto& change : batch.entries()) {
    auto key = change.key.view();
    prepared next{key_hash(key), {}};
    if (change.value) {
      auto counts = footprint_of(key, *change.value);
      auto head = static_cast<uint32_t>(std::min<uint64_t>(counts.bytes, counted_max));
      scratch_.clear();
      byte_writer out{scratch_};
      out.u32(counts.what == footprint::state::live ? head | live_mark : head);
      out.bytes(key);
      pack_record(scratch_, change.partition, change.where, key, *change.value);
      next.item = blob::copy_of(scratch_);
    }
    result.push_back(std::move(next));
  }
  return result;
}

// Bytes by which the batch makes the items grow; at least, an upper bound.
uint64_t memory_engine::growth(const write_batch& batch, const std::vector<prepared>& items) {
  int64_t grown = 0;
  std::set<std::tuple<partition_id, area, uint64_t>> seen;
  for (size_t i = 0; i < items.size(); ++i) {
    auto& change = batch.entries()[i];
    auto* table = table_of(change.partition, change.where);
    // What an earlier entry of the batch put is not there yet: nothing is deducted for it.
    auto first =
        items.size() == 1 || seen.emplace(change.partition, change.where, items[i].hash).second;
    auto* old = first && table ? table->find(items[i].hash, change.key.view()) : nullptr;
    auto delta = static_cast<int64_t>(charge(items[i].item)) -
                 static_cast<int64_t>(old ? charge(old->item) : 0);
    // A full engine still deletes, even where the mark is larger than the value.
    grown += old && is_tombstone(change) ? std::min<int64_t>(delta, 0) : delta;
  }
  return static_cast<uint64_t>(std::max<int64_t>(grown, 0));
}

caf::error memory_engine::make_room(uint64_t bytes) {
  auto fits = [&] { return bytes == 0 || memory() + bytes <= options_.memory_limit; };
  if (options_.evict && bytes <= options_.memory_limit)
    while (!fits() && evict_one()) {
    }
  if (fits())
    return caf::none;
  return failure(errc::out_of_memory,
                 "storage.memory-limit is reached; raise it or set storage.evict=lru");
}

bool memory_engine::evict_one() {
  if (stats_.keys == 0)
    return false;
  std::optional<record_table::position> victim;
  auto at = data_.lower_bound(clock_hand_);
  for (int passed = 0, looked = 0; passed < passed_max; ++passed) {
    if (data_.end(at))
      at = data_.lower_bound(0);
    auto& item = data_[at].item;
    auto head = head_of(item);
    if (head & live_mark) {
      victim = at;
      if (!(head & used_mark) || ++looked > second_chances_max)
        break;
      set_head(item, head & ~used_mark);
    }
    at = data_.next(at);
  }
  if (!victim) {
    clock_hand_ = data_.end(at) ? 0 : data_[at].hash;
    return false;
  }
  auto hash = data_[*victim].hash;
  auto item = data_[*victim].item;
  auto key_bytes = record_table::key_of(item);
  auto key = item.slice(static_cast<size_t>(key_bytes.data() - item.data()), key_bytes.size());
  slot_bytes_ -= data_.slot_bytes();
  data_.erase(hash, key_bytes);
  slot_bytes_ += data_.slot_bytes();
  item_bytes_ -= charge(item);
  count(item, area::data, -1);
  ++stats_.evicted;
  clock_hand_ = hash;
  if (options_.hooks.evicted)
    options_.hooks.evicted(partition_of(hash, options_.partitions), key);
  return true;
}

void memory_engine::apply(const write_batch::entry& change, prepared&& next) {
  auto key = change.key.view();
  item_bytes_ += charge(next.item);
  count(next.item, change.where, 1);
  auto& table = make_table(change.partition, change.where);
  slot_bytes_ -= table.slot_bytes();
  auto old =
      next.item.empty() ? table.erase(next.hash, key) : table.put(next.hash, std::move(next.item));
  slot_bytes_ += table.slot_bytes();
  item_bytes_ -= charge(old);
  count(old, change.where, -1);
  if (!unknown_.empty())
    unknown_.erase({change.partition, change.where, std::string{key}});
}

caf::error memory_engine::write(const write_batch& batch) {
  if (auto err = check(batch))
    return err;
  auto items = prepare(batch);
  if (options_.memory_limit > 0)
    if (auto err = make_room(growth(batch, items)))
      return err;
  for (size_t i = 0; i < items.size(); ++i)
    apply(batch.entries()[i], std::move(items[i]));
  return caf::none;
}

caf::error memory_engine::scan(
    partition_id partition, area where, uint64_t from,
    const std::function<bool(uint64_t hash, const blob& key, record&& value)>& visit) {
  auto* table = table_of(partition, where);
  if (!table)
    return caf::none;
  auto first = where == area::data ? first_hash(partition, options_.partitions) : 0;
  std::vector<std::string> damaged;
  std::optional<uint64_t> stop_after;
  for (auto at = table->lower_bound(std::max(from, first)); !table->end(at); at = table->next(at)) {
    auto& slot = (*table)[at];
    if (where == area::data && partition_of(slot.hash, options_.partitions) != partition)
      break;
    if (stop_after && slot.hash != *stop_after)
      break;
    auto item = slot.item;
    auto key = record_table::key_of(item);
    auto value = unpack_record(partition, where, key, packed_record(item, key));
    if (!value)
      damaged.emplace_back(key);
    else if (!visit(slot.hash,
                    item.slice(static_cast<size_t>(key.data() - item.data()), key.size()),
                    std::move(*value)))
      stop_after = slot.hash;
  }
  for (auto& key : damaged)
    set_aside(partition, where, key);
  return caf::none;
}

caf::expected<std::optional<std::string>> memory_engine::read_meta(std::string_view name) {
  auto i = meta_.find(name);
  return i == meta_.end() ? std::optional<std::string>{} : std::optional{i->second};
}

caf::error memory_engine::write_meta(std::string_view name, std::string_view value) {
  meta_.insert_or_assign(std::string{name}, std::string{value});
  return caf::none;
}

uint64_t memory_engine::memory() const { return item_bytes_ + slot_bytes_; }

engine_stats memory_engine::stats() const {
  auto result = stats_;
  result.memory = memory();
  return result;
}

} // namespace kai
