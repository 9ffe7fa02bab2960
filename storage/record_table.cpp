#include "storage/record_table.hpp"

#include <algorithm>
#include <utility>

#include "protocol/wire.hpp"

namespace kai {

namespace {

constexpr size_t homes_min = 4;

/// How much of an item is asked for ahead: behind that the processor goes on by itself.
constexpr size_t cache_line_bytes = 64;
constexpr size_t fetched_bytes_max = 4 * cache_line_bytes;

/// Slots behind the last home that a new array has.
size_t tail_of(size_t homes) { return 4 + std::min<size_t>(12, homes / 64); }

bool is_full(size_t used, size_t homes) { return used * 10 >= homes * 9; }

/// The upper half of the 128-bit product.
uint64_t scaled(uint64_t fraction, uint64_t whole) {
  __extension__ using wide = unsigned __int128;
  return static_cast<uint64_t>(wide{fraction} * whole >> 64);
}

} // namespace

record_table::record_table(unsigned segment_bits)
    : segment_bits_(segment_bits), segments_(size_t{1} << segment_bits) {}

std::string_view record_table::key_of(const blob& item) {
  // The head is not even looked at: its owner may change it meanwhile.
  return byte_reader{item.view().substr(sizeof(uint32_t))}.bytes();
}

size_t record_table::segment_of(uint64_t hash) const {
  return segment_bits_ == 0 ? 0 : hash >> (64 - segment_bits_);
}

size_t record_table::home(uint64_t hash, size_t homes) const {
  return scaled(hash << segment_bits_, homes);
}

// The first index at or after the hash's home that is free or holds no smaller hash.
size_t record_table::seek(const segment& in, uint64_t hash) const {
  if (in.capacity == 0)
    return 0;
  auto i = home(hash, in.homes);
  while (i < in.capacity && !in.slots[i].item.empty() && in.slots[i].hash < hash)
    ++i;
  return i;
}

// The key's index, or the capacity.
size_t record_table::seek(const segment& in, uint64_t hash, std::string_view key) const {
  for (auto i = seek(in, hash); i < in.capacity; ++i) {
    auto& x = in.slots[i];
    if (x.item.empty() || x.hash != hash)
      break;
    if (key_of(x.item) == key)
      return i;
  }
  return in.capacity;
}

record_table::slot* record_table::find(uint64_t hash, std::string_view key) {
  auto& in = segments_[segment_of(hash)];
  auto i = seek(in, hash, key);
  return i < in.capacity ? &in.slots[i] : nullptr;
}

void record_table::fetch_slot(uint64_t hash) const {
  auto& in = segments_[segment_of(hash)];
  if (in.capacity > 0)
    __builtin_prefetch(&in.slots[home(hash, in.homes)]);
}

void record_table::fetch_item(uint64_t hash) const {
  auto& in = segments_[segment_of(hash)];
  auto i = seek(in, hash);
  if (i >= in.capacity || in.slots[i].hash != hash)
    return;
  auto& item = in.slots[i].item;
  for (size_t line = 0; line < item.size() && line < fetched_bytes_max; line += cache_line_bytes)
    __builtin_prefetch(item.data() + line);
}

blob record_table::put(uint64_t hash, blob item) {
  auto& into = segments_[segment_of(hash)];
  auto i = seek(into, hash, key_of(item));
  if (i < into.capacity)
    return std::exchange(into.slots[i].item, std::move(item));
  if (is_full(into.used, into.homes)) {
    auto homes = into.homes + std::max<size_t>(homes_min, into.homes / 5);
    resize(into, homes, tail_of(homes));
  }
  if (!insert(into, hash, item)) {
    resize(into, into.homes, 4 + (into.capacity - into.homes) * 3 / 2);
    insert(into, hash, item);
  }
  ++into.used;
  ++size_;
  return {};
}

// False, with nothing changed, when the crowd reaches the segment's end.
bool record_table::insert(segment& into, uint64_t hash, blob& item) {
  auto i = seek(into, hash);
  auto free = i;
  while (free < into.capacity && !into.slots[free].item.empty())
    ++free;
  if (free == into.capacity)
    return false;
  auto* slots = into.slots.get();
  std::move_backward(slots + i, slots + free, slots + free + 1);
  slots[i].hash = hash;
  slots[i].item = std::exchange(item, {});
  return true;
}

blob record_table::erase(uint64_t hash, std::string_view key) {
  auto& from = segments_[segment_of(hash)];
  auto i = seek(from, hash, key);
  if (i >= from.capacity)
    return {};
  auto* slots = from.slots.get();
  auto removed = std::exchange(slots[i].item, {});
  for (auto next = i + 1; next < from.capacity; i = next++) {
    if (slots[next].item.empty() || home(slots[next].hash, from.homes) == next)
      break;
    slots[i] = std::exchange(slots[next], {});
  }
  --from.used;
  --size_;
  if (from.homes > 16 * homes_min && from.used * 10 < from.homes * 4u) {
    auto homes = from.used + from.used / 3 + homes_min;
    resize(from, homes, tail_of(homes));
  }
  return removed;
}

void record_table::resize(segment& x, size_t homes, size_t tail) {
  // Calls `place(item, index)` with where each item goes; what comes behind the last.
  auto lay_out = [&](auto place) {
    size_t at = 0;
    for (size_t i = 0; i < x.capacity; ++i) {
      if (x.slots[i].item.empty())
        continue;
      at = std::max(at, home(x.slots[i].hash, homes));
      place(x.slots[i], at++);
    }
    return at;
  };
  auto crowd_end = lay_out([](slot&, size_t) {});
  auto capacity = std::max(homes, crowd_end) + tail;
  auto slots = std::make_unique<slot[]>(capacity);
  lay_out([&](slot& from, size_t to) { slots[to] = std::move(from); });
  slot_count_ += capacity;
  slot_count_ -= x.capacity;
  x = {std::move(slots), static_cast<uint32_t>(homes), static_cast<uint32_t>(capacity), x.used};
}

record_table::position record_table::skip_free(position at) const {
  for (; at.segment < segments_.size(); ++at.segment, at.index = 0) {
    auto& in = segments_[at.segment];
    for (; at.index < in.capacity; ++at.index)
      if (!in.slots[at.index].item.empty())
        return at;
  }
  return at;
}

record_table::position record_table::lower_bound(uint64_t hash) const {
  auto segment = segment_of(hash);
  return skip_free({segment, seek(segments_[segment], hash)});
}

record_table::position record_table::next(position at) const {
  ++at.index;
  return skip_free(at);
}

} // namespace kai
