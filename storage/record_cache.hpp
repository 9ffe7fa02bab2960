#pragma once

#include <cstddef>
#include <cstdint>
#include <list>
#include <mutex>
#include <optional>
#include <unordered_map>

#include "protocol/version.hpp"

namespace kai {

/// Records of area::data that an engine has read or written last, as they are stored. Its owner,
/// the thread of the engine, finds all of them; other threads may look as well, but not for a key
/// whose write they have just sent there: what reads and writes they send keep their order.
class record_cache {
public:
  /// Holds at most `bytes_max`, overhead included; records above a 64th of that are not kept.
  explicit record_cache(size_t bytes_max) : bytes_max_(bytes_max) {}

  /// The owner's: what is stored under the key by now. The empty record: nothing.
  void put(const blob& key, const record& value);
  void clear();
  std::optional<record> find(std::string_view key);

  /// Any thread's.
  std::optional<record> peek(std::string_view key);
  /// digest_of what `peek` finds.
  std::optional<uint64_t> peek_digest(std::string_view key);
  /// A write of the key is on its way to the owner: `peek` finds nothing until the owner has come
  /// by it again.
  void expect_write(std::string_view key);

  size_t bytes() const;

private:
  struct item {
    blob key;
    record value;
    uint64_t digest = 0;
    size_t bytes = 0;
    bool write_expected = false;
    /// Somebody looked it up since its turn to go came last.
    bool used = false;
  };
  using items = std::list<item>;

  struct hasher {
    size_t operator()(std::string_view x) const;
  };

  /// Null: it is not here.
  item* lookup(std::string_view key);
  const item* lookup_settled(std::string_view key);
  void erase(items::iterator i);
  void make_room(size_t bytes);

  const size_t bytes_max_;
  mutable std::mutex mutex_;
  /// The one whose turn it is to go last. One that was used meanwhile has another round first (the
  /// second-chance algorithm): a read moves nothing.
  items items_;
  /// Keys are those in `items_`.
  std::unordered_map<std::string_view, items::iterator, hasher> by_key_;
  size_t bytes_ = 0;
};

} // namespace kai
