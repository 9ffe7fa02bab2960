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
  struct entry {
    record value;
    /// digest_of `value`.
    uint64_t digest = 0;
  };

  /// Holds at most `bytes_max`, overhead included; records above a 64th of that are not kept.
  explicit record_cache(size_t bytes_max) : bytes_max_(bytes_max) {}

  /// The owner's: what is stored under the key by now. The empty record: nothing.
  void put(const blob& key, const record& value);
  void clear();
  std::optional<record> find(std::string_view key);

  /// Any thread's.
  std::optional<entry> peek(std::string_view key);
  /// A write of the key is on its way to the owner: `peek` finds nothing until the owner has come
  /// by it again.
  void expect_write(std::string_view key);

  size_t bytes() const;

private:
  struct item {
    blob key;
    entry what;
    size_t bytes = 0;
    bool write_expected = false;
  };
  using items = std::list<item>;

  struct hasher {
    size_t operator()(std::string_view x) const;
  };

  items::iterator lookup(std::string_view key);
  void erase(items::iterator i);

  const size_t bytes_max_;
  mutable std::mutex mutex_;
  /// The last used one first.
  items items_;
  /// Keys are those in `items_`.
  std::unordered_map<std::string_view, items::iterator, hasher> by_key_;
  size_t bytes_ = 0;
};

} // namespace kai
