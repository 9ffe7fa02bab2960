#include "actors/vnode_upkeep.hpp"

#include "protocol/limits.hpp"
#include "protocol/sync_rules.hpp"

namespace kai {

caf::result<reap_result> reap(vnode_state& st, const reap_order& x) {
  write_batch batch;
  std::vector<std::pair<blob, uint64_t>> gone;
  reap_result result;
  auto flushed = st.context->flushed();
  auto look = [&](uint64_t hash, const blob& key, record&& value) {
    if (result.seen >= limits::reaped_per_tick && hash != result.next) {
      result.more = true;
      result.next = hash;
      return false;
    }
    result.next = hash;
    result.seen += 1 + footprint_of(key.view(), value).bytes / limits::reaped_bytes_per_look;
    if (reapable(over_since(value, flushed), x.in_sync, x.times)) {
      gone.emplace_back(key, digest_of(key.view(), value));
      batch.remove(x.partition, area::data, key, footprint_of(key.view(), value));
    }
    return true;
  };
  if (auto err = st.storage->scan(x.partition, area::data, x.from, look))
    return err;
  if (!batch.empty())
    if (auto err = st.storage->write(batch))
      return err;
  for (auto& [key, digest] : gone)
    st.trees.change(x.partition, key.view(), digest, 0);
  result.reaped = gone.size();
  return result;
}

caf::result<bool> forget_all(vnode_state& st, uint32_t partitions) {
  for (uint32_t i = 0; i < partitions; ++i) {
    auto partition = static_cast<partition_id>(i);
    uint64_t from = 0;
    for (write_batch batch;; batch.clear()) {
      auto collect = [&](uint64_t hash, const blob& key, record&&) {
        batch.remove(partition, area::data, key);
        from = hash;
        return batch.entries().size() < limits::reaped_per_tick;
      };
      if (auto err = st.storage->scan(partition, area::data, from, collect))
        return err;
      if (batch.empty())
        break;
      if (auto err = st.storage->write(batch))
        return err;
    }
  }
  return true;
}

} // namespace kai
