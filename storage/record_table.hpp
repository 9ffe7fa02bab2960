#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include <boost/endian/conversion.hpp>

#include "protocol/blob.hpp"

namespace kai {

/// Records in memory, in the order of their keys' hashes. One item is one blob:
///
///     head       4 bytes: marks and counts of this table's owner, the memory engine or a record
///                cache
///     key        varint length and bytes
///     rest       the record, as the owner keeps it
///
/// An open-addressing table with linear probing in which everything is sorted: a hash's home slot
/// is proportional to the hash, and an item lies at its home or right of it, behind all smaller
/// ones and without a gap between home and item. The hash's top bits choose a segment, which is
/// such an array by itself and grows by itself, by a fifth: so the longest stall is one segment's
/// move (of 1,000,000 items in 1024 segments: 1000 items, some 20 us), slots are 75 to 90 % used,
/// and a slot costs 24 bytes.
class record_table {
public:
  /// 2^segment_bits segments.
  explicit record_table(unsigned segment_bits);

  struct slot {
    uint64_t hash = 0;
    /// Empty: a free slot.
    blob item;
  };

  /// Where an item is; valid until the next insert or erase.
  struct position {
    size_t segment = 0;
    size_t index = 0;
  };

  static std::string_view key_of(const blob& item);

  static uint32_t head_of(const blob& item) {
    return boost::endian::load_little_u32(reinterpret_cast<const unsigned char*>(item.data()));
  }
  /// No slice that left the owner shows the head, so it may change in an item that others hold
  /// slices of.
  static void set_head(blob& item, uint32_t head) {
    boost::endian::store_little_u32(reinterpret_cast<unsigned char*>(item.mutable_data()), head);
  }

  /// What the item takes from malloc: its header, the blob's, the bytes, rounded up. 0 if empty.
  static uint64_t charge(const blob& item) {
    return item.empty() ? 0 : std::max<uint64_t>(32, (item.size() + 16 + 15) & ~uint64_t{15});
  }

  /// Null when there is none.
  slot* find(uint64_t hash, std::string_view key);

  /// Has the processor load the slot where `hash` should be; what it should be in it.
  void fetch_slot(uint64_t hash) const;
  void fetch_item(uint64_t hash) const;

  /// Puts `item` in place of the one with the same key, or adds it. The old item; empty if none.
  blob put(uint64_t hash, blob item);

  /// The removed item; empty if there was none.
  blob erase(uint64_t hash, std::string_view key);

  /// The first item whose hash is not below `hash`; at `end()` when there is none.
  position lower_bound(uint64_t hash) const;
  position next(position at) const;
  bool end(position at) const { return at.segment >= segments_.size(); }
  slot& operator[](position at) { return segments_[at.segment].slots[at.index]; }

  size_t size() const { return size_; }
  /// Bytes of all slots, used or not.
  size_t slot_bytes() const { return slot_count_ * sizeof(slot); }

private:
  struct segment {
    std::unique_ptr<slot[]> slots;
    /// Slots that are some hash's home; those behind are for what crowds at the end.
    uint32_t homes = 0;
    uint32_t capacity = 0;
    uint32_t used = 0;
  };

  size_t segment_of(uint64_t hash) const;
  size_t home(uint64_t hash, size_t homes) const;
  size_t seek(const segment& in, uint64_t hash) const;
  size_t seek(const segment& in, uint64_t hash, std::string_view key) const;
  bool insert(segment& into, uint64_t hash, blob& item);
  void resize(segment& x, size_t homes, size_t tail);
  position skip_free(position at) const;

  unsigned segment_bits_;
  std::vector<segment> segments_;
  size_t size_ = 0;
  size_t slot_count_ = 0;
};

} // namespace kai
