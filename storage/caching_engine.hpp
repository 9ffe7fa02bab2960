#pragma once

#include <memory>

#include "storage/engine.hpp"
#include "storage/record_cache.hpp"

namespace kai {

/// An engine whose records of area::data stay in a record_cache as well when they are read and
/// written, where others than its own thread may look at them.
class caching_engine final : public engine {
public:
  caching_engine(std::unique_ptr<engine> inner, std::shared_ptr<record_cache> cache)
      : inner_(std::move(inner)), cache_(std::move(cache)) {}

  caf::expected<std::optional<record>> read(partition_id partition, area where,
                                            std::string_view key) override;
  void expect(std::span<const uint64_t> key_hashes) override { cache_->expect(key_hashes); }
  caf::error write(const write_batch& batch) override;
  caf::error
  scan(partition_id partition, area where, uint64_t from,
       const std::function<bool(uint64_t hash, const blob& key, record&& value)>& visit) override {
    return inner_->scan(partition, where, from, visit);
  }
  caf::expected<std::optional<std::string>> read_meta(std::string_view name) override {
    return inner_->read_meta(name);
  }
  caf::error write_meta(std::string_view name, std::string_view value) override {
    return inner_->write_meta(name, value);
  }
  caf::error flush() override { return inner_->flush(); }
  engine_stats stats() const override { return inner_->stats(); }
  start_state started() const override { return inner_->started(); }
  bool count_some(size_t max_records) override { return inner_->count_some(max_records); }

private:
  std::unique_ptr<engine> inner_;
  std::shared_ptr<record_cache> cache_;
};

} // namespace kai
