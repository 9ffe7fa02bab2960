#include "storage/caching_engine.hpp"

namespace kai {

caf::expected<std::optional<record>> caching_engine::read(partition_id partition, area where,
                                                          std::string_view key) {
  if (where == area::data)
    if (auto found = cache_->find(key))
      return std::optional<record>{std::move(*found)};
  auto result = inner_->read(partition, where, key);
  if (where == area::data && result && *result)
    cache_->put(blob::copy_of(key), **result);
  return result;
}

caf::error caching_engine::write(const write_batch& batch) {
  auto err = inner_->write(batch);
  // After a failure the engine has to be asked.
  for (auto& x : batch.entries())
    if (x.where == area::data)
      cache_->put(x.key, !err && x.value ? *x.value : record{});
  return err;
}

} // namespace kai
