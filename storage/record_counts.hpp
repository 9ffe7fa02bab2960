#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "storage/engine.hpp"

namespace kai {

/// The counts of an engine that cannot afford to count at the start. After a clean stop they come
/// from the database; else they grow with a pass over the records in key order that `counted_to`
/// marks: what lies before it is counted, and changes there are too; what lies behind it the pass
/// will meet.
class record_counts {
public:
  /// Everything is counted, and there is nothing.
  record_counts() = default;

  void count(const footprint& x, int sign) {
    auto n = static_cast<uint64_t>(sign);
    if (x.what == footprint::state::live) {
      keys_ += n;
      bytes_ += n * x.bytes;
    } else if (x.what == footprint::state::tombstone) {
      tombstones_ += n;
    }
  }

  bool exact() const { return exact_; }
  /// Whether the record at this database key has been counted, or would be, were it there.
  bool reaches(std::string_view key) const { return exact_ || key < counted_to_; }
  const std::string& counted_to() const { return counted_to_; }
  void advance(std::string key) { counted_to_ = std::move(key); }
  void finish() { exact_ = true; }
  void restart() {
    *this = {};
    exact_ = false;
  }

  void fill(engine_stats& stats) const;

  std::string encoded() const;
  static std::optional<record_counts> decoded(std::string_view bytes);

private:
  uint64_t keys_ = 0;
  uint64_t tombstones_ = 0;
  uint64_t bytes_ = 0;
  bool exact_ = true;
  std::string counted_to_;
};

} // namespace kai
