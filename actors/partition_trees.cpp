#include "actors/partition_trees.hpp"

namespace kai {

const merkle_tree* partition_trees::find(partition_id partition) const {
  auto found = trees_.find(partition);
  return found != trees_.end() ? &found->second : nullptr;
}

caf::error partition_trees::make(engine& storage, partition_id partition) {
  merkle_tree tree;
  auto add = [&](uint64_t hash, const blob& key, record&& value) {
    tree.change(hash, partitions_, 0, digest_of(key.view(), value));
    return true;
  };
  if (auto err = storage.scan(partition, area::data, 0, add))
    return err;
  trees_.insert_or_assign(partition, std::move(tree));
  return caf::none;
}

void partition_trees::change(partition_id partition, std::string_view key, uint64_t before,
                             uint64_t after) {
  auto found = trees_.find(partition);
  if (found != trees_.end())
    found->second.change(key_hash(key), partitions_, before, after);
}

void partition_trees::forget(std::optional<partition_id> partition) {
  if (partition)
    trees_.erase(*partition);
  else
    trees_.clear();
}

caf::expected<leaf_answer> read_leaf(engine& storage, partition_id partition, uint16_t leaf,
                                     uint32_t partitions, timestamp flushed) {
  auto last = last_hash_of(partition, leaf, partitions);
  leaf_answer result;
  auto add = [&](uint64_t hash, const blob& key, record&& value) {
    if (hash > last)
      return false;
    result.entries.push_back(
        {key, digest_of(key.view(), value), newest_of(value), over_since(value, flushed)});
    return true;
  };
  if (auto err =
          storage.scan(partition, area::data, first_hash_of(partition, leaf, partitions), add))
    return err;
  return result;
}

} // namespace kai
