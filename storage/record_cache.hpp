#pragma once

#include <cstddef>
#include <cstdint>
#include <mutex>
#include <optional>
#include <span>
#include <string>

#include "protocol/version.hpp"
#include "storage/record_table.hpp"

namespace kai {

/// Records of area::data that an engine has read or written last, as they are stored. Its owner,
/// the thread of the engine, finds all of them; other threads may look as well, but not for a key
/// whose write they have just sent there: what reads and writes they send keep their order. Values
/// that are found are slices of the stored item: no copy.
class record_cache {
public:
  /// Holds at most `bytes_max`, overhead included; records above a 64th of that are not kept.
  explicit record_cache(size_t bytes_max);

  /// The owner's: what is stored under the key by now. The empty record: nothing.
  void put(const blob& key, const record& value);
  void clear();
  std::optional<record> find(std::string_view key);

  /// Any thread's: keys that are about to be looked up.
  void expect(std::span<const uint64_t> key_hashes);
  std::optional<record> peek(std::string_view key);
  /// digest_of what `peek` finds.
  std::optional<uint64_t> peek_digest(std::string_view key);
  /// A write of the key is on its way to the owner: `peek` finds nothing until the owner has come
  /// by it again.
  void expect_write(std::string_view key);

  size_t bytes() const;

private:
  /// Null: it is not here.
  record_table::slot* lookup(uint64_t hash, std::string_view key);
  /// The item; empty: it is not here, or a write of it is expected.
  blob settled(std::string_view key);
  void erase(uint64_t hash, std::string_view key);
  void make_room_beside(uint64_t newest);
  void evict_one_beside(uint64_t newest);

  const size_t bytes_max_;
  mutable std::mutex mutex_;
  record_table items_;
  size_t item_bytes_ = 0;
  /// Where the search for one to go goes on, a hash. One that was used since it passed has another
  /// round first (the second-chance algorithm): a read moves nothing.
  uint64_t clock_hand_ = 0;
  /// The owner's.
  std::string scratch_;
};

} // namespace kai
