#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "protocol/blob.hpp"

namespace kai {

/// The memory engine's items, in the order of their keys' hashes. One item is one blob:
///
///     head       4 bytes: a mark "used since the clock passed", a mark "live", and 30 bits with
///                what the record counts for in stats; this table's owner writes them
///     key        varint length and bytes
///     record     as record_codec.hpp says
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
