// long: a backup and its way back, partition by partition
#include "apps/backup.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <map>
#include <optional>
#include <thread>
#include <utility>

#include <fmt/format.h>

#include "protocol/errc.hpp"
#include "protocol/merkle.hpp"
#include "protocol/pace.hpp"
#include "protocol/quorum.hpp"

namespace kai {

namespace {

/// Records under way at once, and their bytes: what clients ask meanwhile waits behind them.
constexpr size_t lot_keys = 32;
constexpr size_t lot_bytes = 1024 * 1024;
/// Leaves of a partition's tree that are asked for at once.
constexpr size_t lot_leaves = 4;
/// A partition whose replicas change meanwhile is begun anew.
constexpr int attempts = 50;
constexpr std::chrono::milliseconds attempt_interval{200};

timestamp wall_clock() {
  auto now = std::chrono::system_clock::now().time_since_epoch();
  return static_cast<timestamp>(std::chrono::duration_cast<std::chrono::microseconds>(now).count());
}

/// Does `once` until it ends with anything but a failure that passes.
template <class Once>
caf::error persist(cluster_client& cluster, Once once) {
  caf::error err;
  for (int i = 0; i < attempts; ++i) {
    if (i > 0) {
      std::this_thread::sleep_for(attempt_interval);
      if (auto lost = cluster.refresh()) {
        err = lost;
        continue;
      }
    }
    err = once();
    auto passes = err == errc::not_owner || err == errc::timed_out || err == errc::peer_down ||
                  err == errc::quorum_failed || err == errc::overloaded;
    if (!err || !passes)
      return err;
  }
  return err;
}

caf::error too_few(const topology& t, partition_id partition, size_t got, size_t needed) {
  return failure(errc::quorum_failed, fmt::format("partition {}: ", partition) +
                                          quorum_text(got, t.replicas[partition].size(), needed));
}

/// One partition on its way into a file.
class partition_copy {
public:
  /// `lots`: what is known of the size of records from partitions before.
  partition_copy(cluster_client& cluster, partition_id partition, record_lots& lots)
      : cluster_(cluster), partition_(partition), lots_(lots) {}

  caf::error run(backup_writer& out) {
    auto& t = cluster_.current();
    replicas_.clear();
    for (auto x : t.replicas[partition_])
      if (cluster_.reaches(x) && cluster_.is_up(x))
        replicas_.push_back(x);
    needed_ = t.settings.read_quorum_of(t.replicas[partition_].size());
    if (auto err = find_keys())
      return err;
    return copy_records(out);
  }

private:
  struct found_key {
    /// Replicas that hold something, by position in `replicas_`, and whether all hold the same.
    uint32_t holders = 0;
    uint64_t digest = 0;
    bool equal = true;
    bool over = true;
  };

  caf::error find_keys() {
    keys_.clear();
    cluster_client::calls_to calls;
    for (auto x : replicas_)
      calls.emplace_back(x, call_with(tree_call{}));
    auto trees = cluster_.ask(std::move(calls));
    size_t answered = 0;
    uint32_t with_tree = 0;
    std::array<bool, merkle_tree::leaf_count> filled{};
    for (size_t i = 0; i < trees.size(); ++i) {
      if (auto err = refusal(trees[i]))
        return err;
      auto tree = std::get_if<tree_answer>(&trees[i].what);
      if (!tree)
        continue;
      ++answered;
      with_tree |= 1u << i;
      for (size_t leaf = 0; leaf < tree->leaves.size() && leaf < filled.size(); ++leaf)
        filled[leaf] = filled[leaf] || tree->leaves[leaf] != 0;
    }
    if (answered < needed_)
      return too_few(cluster_.current(), partition_, answered, needed_);
    std::vector<uint16_t> lot;
    for (uint16_t leaf = 0; leaf < merkle_tree::leaf_count; ++leaf) {
      if (filled[leaf])
        lot.push_back(leaf);
      if (lot.size() == lot_leaves || leaf + 1u == merkle_tree::leaf_count)
        if (auto err = find_in_leaves(std::exchange(lot, {}), with_tree))
          return err;
    }
    return caf::none;
  }

  caf::error find_in_leaves(const std::vector<uint16_t>& leaves, uint32_t with_tree) {
    cluster_client::calls_to calls;
    std::vector<size_t> positions;
    std::vector<size_t> of_leaf;
    for (size_t n = 0; n < leaves.size(); ++n)
      for (size_t i = 0; i < replicas_.size(); ++i)
        if (with_tree >> i & 1) {
          calls.emplace_back(replicas_[i], call_with(leaf_call{leaves[n]}));
          positions.push_back(i);
          of_leaf.push_back(n);
        }
    auto answers = cluster_.ask(std::move(calls));
    std::vector<size_t> answered(leaves.size());
    auto now = wall_clock();
    for (size_t i = 0; i < answers.size(); ++i) {
      if (auto err = refusal(answers[i]))
        return err;
      auto found = std::get_if<leaf_answer>(&answers[i].what);
      if (!found)
        continue;
      ++answered[of_leaf[i]];
      for (auto& x : found->entries) {
        auto& key = keys_[x.key.str()];
        key.equal = key.equal && (key.holders == 0 || key.digest == x.digest);
        key.digest = x.digest;
        key.holders |= 1u << positions[i];
        key.over = key.over && x.over_since != 0 && x.over_since <= now;
      }
    }
    for (auto got : answered)
      if (got < needed_)
        return too_few(cluster_.current(), partition_, got, needed_);
    return caf::none;
  }

  caf::error copy_records(backup_writer& out) {
    std::vector<std::pair<std::string_view, const found_key*>> lot;
    for (auto& [key, x] : keys_) {
      if (x.over)
        continue;
      lot.emplace_back(key, &x);
      if (lot.size() >= next_lot()) {
        if (auto err = copy_lot(lot, out))
          return err;
        lot.clear();
      }
    }
    return lot.empty() ? caf::error{} : copy_lot(lot, out);
  }

  size_t next_lot() const {
    auto bytes = lots_.bytes_each();
    return lots_.next(bytes > 0 ? std::min<uint64_t>(lot_keys, lot_bytes / bytes) : lot_keys);
  }

  caf::error copy_lot(const std::vector<std::pair<std::string_view, const found_key*>>& lot,
                      backup_writer& out) {
    cluster_client::calls_to calls;
    std::vector<size_t> of_key;
    for (size_t k = 0; k < lot.size(); ++k)
      for (size_t i = 0; i < replicas_.size(); ++i)
        if (lot[k].second->holders >> i & 1) {
          auto x = call_with(read_call{});
          x.key = blob::copy_of(lot[k].first);
          calls.emplace_back(replicas_[i], std::move(x));
          of_key.push_back(k);
          // Replicas that hold the same are asked once.
          if (lot[k].second->equal)
            break;
        }
    auto answers = cluster_.ask(std::move(calls));
    std::vector<record> merged(lot.size());
    size_t largest = 0;
    for (size_t i = 0; i < answers.size(); ++i) {
      if (auto err = refusal(answers[i]))
        return err;
      auto found = std::get_if<record_answer>(&answers[i].what);
      if (!found) {
        auto err = failed(answers[i]);
        if (err == errc::timed_out || err == errc::overloaded)
          lots_.too_much(lot.size());
        return err;
      }
      largest = std::max(largest, size_of(answers[i]));
      merged[of_key[i]] = merge(merged[of_key[i]], found->value);
    }
    lots_.came(lot.size(), largest);
    for (size_t k = 0; k < lot.size(); ++k)
      if (!merged[k].empty())
        out.add(lot[k].first, merged[k]);
    return caf::none;
  }

  template <class Body>
  call call_with(Body body) const {
    call x;
    x.partition = partition_;
    x.what = std::move(body);
    return x;
  }

  /// Of one that knows of other replicas, or can not tell its keys apart: nothing counts then.
  static caf::error refusal(const answer& x) {
    auto why = std::get_if<failed_answer>(&x.what);
    auto ends = why && (why->reason == errc::not_owner || why->reason == errc::refused);
    return ends ? failed(x) : caf::error{};
  }
  static caf::error failed(const answer& x) {
    auto why = std::get_if<failed_answer>(&x.what);
    return why ? failure(why->reason, why->message)
               : failure(errc::malformed, "an answer of another kind");
  }

  cluster_client& cluster_;
  partition_id partition_;
  record_lots& lots_;
  std::vector<member_index> replicas_;
  size_t needed_ = 0;
  std::map<std::string, found_key> keys_;
};

/// Whether a flush_all, up to `mark`, is all that hides it.
bool is_flushed(const record& x, timestamp now, timestamp mark) {
  auto seen = [&](timestamp flushed) {
    return std::any_of(x.versions.begin(), x.versions.end(),
                       [&](const version& v) { return visible(v, now, flushed); });
  };
  return seen(0) && !seen(mark);
}

/// Records on their way to their replicas.
class store_lot {
public:
  explicit store_lot(cluster_client& cluster) : cluster_(cluster) {}

  caf::error add(std::string key, record value) {
    bytes_ += key.size();
    for (auto& x : value.versions)
      bytes_ += x.value.size();
    records_.emplace_back(std::move(key), std::move(value));
    return records_.size() >= lot_keys || bytes_ >= lot_bytes ? flush() : caf::error{};
  }

  caf::error flush() {
    auto err = persist(cluster_, [this] { return once(); });
    records_.clear();
    bytes_ = 0;
    return err;
  }

private:
  caf::error once() {
    auto& t = cluster_.current();
    cluster_client::calls_to calls;
    std::vector<size_t> of_record;
    std::vector<partition_id> partitions;
    for (size_t i = 0; i < records_.size(); ++i) {
      auto& [key, value] = records_[i];
      partitions.push_back(partition_of(key_hash(key), t.settings.partitions));
      for (auto to : t.holders_of(partitions.back())) {
        call x;
        x.partition = partitions.back();
        x.key = blob::copy_of(key);
        x.what = store_call{value};
        calls.emplace_back(to, std::move(x));
        of_record.push_back(i);
      }
    }
    std::vector<member_index> asked;
    for (auto& x : calls)
      asked.push_back(x.first);
    auto answers = cluster_.ask(std::move(calls));
    std::vector<std::vector<member_index>> stored(records_.size());
    for (size_t i = 0; i < answers.size(); ++i)
      if (std::holds_alternative<stored_answer>(answers[i].what))
        stored[of_record[i]].push_back(asked[i]);
      else if (auto why = std::get_if<failed_answer>(&answers[i].what))
        last_refusal_ = *why;
    for (size_t i = 0; i < records_.size(); ++i)
      for (auto list : {&t.replicas[partitions[i]], t.target_of(partitions[i])})
        if (auto err = list ? check(*list, stored[i], partitions[i]) : caf::error{})
          return err;
    return caf::none;
  }

  caf::error check(const replica_list& list, const std::vector<member_index>& stored,
                   partition_id partition) const {
    auto& t = cluster_.current();
    auto got = static_cast<size_t>(std::count_if(list.begin(), list.end(), [&](auto x) {
      return std::find(stored.begin(), stored.end(), x) != stored.end();
    }));
    auto needed = t.settings.write_quorum_of(list.size());
    if (got >= needed)
      return caf::none;
    auto err = too_few(t, partition, got, needed);
    if (!last_refusal_)
      return err;
    // One that is full stays so.
    auto passes = last_refusal_->reason != errc::out_of_memory;
    return failure(passes ? errc::quorum_failed : errc::out_of_memory,
                   message_of(err) + "; one said: " +
                       (last_refusal_->message.empty() ? to_string(last_refusal_->reason)
                                                       : last_refusal_->message));
  }

  cluster_client& cluster_;
  std::vector<std::pair<std::string, record>> records_;
  size_t bytes_ = 0;
  std::optional<failed_answer> last_refusal_;
};

} // namespace

caf::expected<backup_summary> back_up(cluster_client& cluster,
                                      const std::filesystem::path& directory,
                                      const backup_progress& progress) {
  if (auto err = make_backup_directory(directory))
    return err;
  if (auto err = cluster.refresh())
    return err;
  backup_summary sum;
  sum.cluster_id = cluster.current().cluster_id;
  sum.partitions = cluster.current().settings.partitions;
  record_lots lots;
  for (uint32_t i = 0; i < sum.partitions; ++i) {
    auto partition = static_cast<partition_id>(i);
    std::optional<backup_writer> out;
    auto err = persist(cluster, [&] {
      out.emplace(directory, partition);
      return partition_copy{cluster, partition, lots}.run(*out);
    });
    if (err)
      return err;
    if (auto failed = out->finish())
      return failed;
    sum.keys += out->keys();
    sum.bytes += out->bytes();
    progress(i + 1, sum.partitions, sum);
  }
  if (auto err = write_summary(directory, sum))
    return err;
  return sum;
}

caf::expected<backup_summary> restore(cluster_client& cluster,
                                      const std::filesystem::path& directory,
                                      const backup_progress& progress) {
  auto whole = read_summary(directory);
  if (!whole)
    return whole.error();
  if (auto err = cluster.refresh())
    return err;
  uint64_t keys = 0;
  uint64_t flushed = 0;
  // By the cluster's clock, whatever this host's says, which is about to pass a mark that is near.
  auto now = cluster.clock();
  auto& marks = cluster.current().flushed;
  std::chrono::microseconds soon = 2 * limits::flush_lead;
  auto mark = marks.at(now + static_cast<timestamp>(soon.count()));
  auto count = [&](const std::string&, const record& x) {
    flushed += is_flushed(x, now, mark);
    return ++keys > 0;
  };
  for (uint32_t i = 0; i < whole->partitions; ++i)
    if (auto err = read_backup(directory, static_cast<partition_id>(i), count))
      return err;
  if (keys != whole->keys)
    return failure(errc::damaged,
                   fmt::format("{} is damaged: it says {} keys, and its files hold {}",
                               directory.string(), whole->keys, keys));
  if (flushed > 0)
    return failure(
        errc::refused,
        fmt::format("a flush_all came after the backup of {} of the {} keys: nobody would "
                    "see them here; restore into another cluster",
                    flushed, keys));
  backup_summary sum = *whole;
  sum.keys = sum.bytes = 0;
  store_lot lot{cluster};
  for (uint32_t i = 0; i < whole->partitions; ++i) {
    caf::error stopped;
    auto store = [&](std::string key, record value) {
      ++sum.keys;
      stopped = lot.add(std::move(key), std::move(value));
      return !stopped;
    };
    if (auto err = read_backup(directory, static_cast<partition_id>(i), store))
      return err;
    if (stopped)
      return stopped;
    progress(i + 1, whole->partitions, sum);
  }
  if (auto err = lot.flush())
    return err;
  sum.bytes = whole->bytes;
  return sum;
}

} // namespace kai
