#pragma once

#include <map>
#include <set>
#include <tuple>

#include "storage/engine.hpp"
#include "storage/record_table.hpp"

namespace kai {

struct memory_engine_options {
  /// cluster.partitions: a key of area::data belongs to the partition of its hash, others to any.
  uint32_t partitions = 256;
  /// storage.memory-limit: bytes of items with all their overhead; 0: none. A write may pass it by
  /// one growing table segment (1/1024 of the slots), and by delete marks, which always succeed.
  uint64_t memory_limit = 0;
  /// storage.evict=lru. Approximated by a clock with a second chance: a read marks its record; a
  /// hand goes round the records in hash order, clears marks and takes the first unmarked one (or,
  /// after limits of its own, any). Only live records go: a delete mark that went would let the
  /// deleted value come back; whoever owns the engine removes those that are old enough. Where the
  /// hand meets nothing but marks for long the write is refused.
  bool evict = false;
  engine_hooks hooks;
};

/// Records in memory, gone when it is destroyed. A read's values are slices of the stored item: no
/// copy. Per record of one version and one vector entry about 92 bytes more than key and value.
class memory_engine final : public engine {
public:
  explicit memory_engine(memory_engine_options options);

  caf::expected<std::optional<record>> read(partition_id partition, area where,
                                            std::string_view key) override;
  caf::expected<uint64_t> digest(partition_id partition, area where, std::string_view key) override;
  void expect(std::span<const uint64_t> key_hashes) override;
  caf::error write(const write_batch& batch) override;
  caf::error
  scan(partition_id partition, area where, uint64_t from,
       const std::function<bool(uint64_t hash, const blob& key, record&& value)>& visit) override;
  caf::expected<std::optional<std::string>> read_meta(std::string_view name) override;
  caf::error write_meta(std::string_view name, std::string_view value) override;
  caf::error flush() override { return caf::none; }
  engine_stats stats() const override;
  start_state started() const override { return start_state::fresh; }

private:
  struct prepared {
    uint64_t hash;
    /// Empty: remove.
    blob item;
  };
  using place = std::tuple<partition_id, area, std::string>;

  record_table* table_of(partition_id partition, area where);
  record_table& make_table(partition_id partition, area where);
  /// Empty: nothing is stored.
  caf::expected<blob> item_of(partition_id partition, area where, std::string_view key);
  caf::error check(const write_batch& batch) const;
  std::vector<prepared> prepare(const write_batch& batch);
  uint64_t growth(const write_batch& batch, const std::vector<prepared>& items);
  caf::error make_room(uint64_t bytes);
  bool evict_one();
  void apply(const write_batch::entry& change, prepared&& item);
  void count(const blob& item, area where, int sign);
  void set_aside(partition_id partition, area where, std::string_view key);
  uint64_t memory() const;

  memory_engine_options options_;
  record_table data_;
  std::map<std::pair<partition_id, area>, record_table> others_;
  std::map<std::string, std::string, std::less<>> meta_;
  /// Where a damaged record was: unknown until written or removed.
  std::set<place> unknown_;
  engine_stats stats_;
  uint64_t item_bytes_ = 0;
  uint64_t slot_bytes_ = 0;
  uint64_t clock_hand_ = 0;
  std::string scratch_;
};

} // namespace kai
