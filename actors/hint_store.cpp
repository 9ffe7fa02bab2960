#include "actors/hint_store.hpp"

#include <algorithm>

#include "actors/cluster_view.hpp"
#include "protocol/errc.hpp"

namespace kai {

namespace {

constexpr size_t target_bytes_max = 255;

std::string name_of(const hint& x) {
  std::string result;
  result.reserve(1 + x.target.size() + x.key.size());
  result += static_cast<char>(x.target.size());
  result += x.target;
  result += x.key.view();
  return result;
}

std::string_view target_in(std::string_view name) {
  return name.empty() ? name : name.substr(1, static_cast<uint8_t>(name[0]));
}

/// As in the area; nullopt: the name is none of ours.
std::optional<hint> parse(partition_id partition, const blob& name, record value) {
  auto target = target_in(name.view());
  if (target.empty() || name.size() < 1 + target.size())
    return std::nullopt;
  auto key_at = 1 + target.size();
  return hint{partition, name.slice(key_at, name.size() - key_at), std::string{target},
              std::move(value)};
}

uint64_t bytes_of(std::string_view name, const record& x) {
  auto result = name.size() + 16 * x.seen.size();
  for (auto& v : x.versions)
    result += 40 + v.value.size();
  return result;
}

/// When the oldest of its writes was made. A delete that it knows nothing of may be as old.
timestamp oldest_of(const record& x) {
  auto result = UINT64_MAX;
  for (auto& v : x.versions)
    result = std::min(result, v.written.clock);
  return x.versions.empty() ? 0 : result;
}

hint_cursor behind(partition_id partition, uint64_t hash) {
  return hash == UINT64_MAX ? hint_cursor{static_cast<partition_id>(partition + 1), 0}
                            : hint_cursor{partition, hash + 1};
}

} // namespace

hint_report hint_store::report() const {
  auto result = report_;
  result.exact = partitions_ > 0 && !counting_;
  return result;
}

uint64_t hint_report::count() const {
  uint64_t result = 0;
  for (auto& [target, x] : held)
    result += x.count;
  return result;
}

hint_report& hint_report::operator+=(const hint_report& x) {
  for (auto& [target, more] : x.held) {
    auto& y = held[target];
    y.oldest = y.count == 0 ? more.oldest : std::min(y.oldest, more.oldest);
    y.count += more.count;
    y.bytes += more.bytes;
  }
  stored += x.stored;
  replayed += x.replayed;
  dropped += x.dropped;
  exact = exact && x.exact;
  return *this;
}

hint_route route_of(const cluster_view& view, partition_id partition, const std::string& target) {
  std::optional<member_index> index;
  if (auto found = view.topo.find(target))
    index = static_cast<member_index>(found - view.topo.members.data());
  auto rule = view.write_rule(partition);
  auto places = view.replica_places(partition);
  // What is for nobody any more waits until it is clear who the replicas are.
  auto waits = rule.target != 0 && !(index && view.owns(*index, partition));
  return waits ? hint_route{} : route_hint(index, places, view.alive, rule.needed);
}

void hint_store::count_from_start(uint32_t partitions) {
  partitions_ = partitions;
  if (partitions > 0)
    counting_ = hint_cursor{};
}

void hint_store::count_again() {
  places_.clear();
  bytes_ = 0;
  report_.held.clear();
  // They are met when they are written.
  for (auto& [name, x] : changes_)
    x.count = x.bytes = 0;
  count_from_start(partitions_);
}

void hint_store::count_some(engine& storage, size_t most) {
  if (changed())
    return;
  // A partition without hints is a look, too.
  for (size_t looked = 0; counting_ && looked < most; ++looked) {
    auto partition = counting_->partition;
    auto full = false;
    auto err = storage.scan(partition, area::hint, counting_->hash,
                            [&](uint64_t hash, const blob& name, record&& x) {
                              add(partition, target_in(name.view()), 1,
                                  static_cast<int64_t>(bytes_of(name.view(), x)), oldest_of(x));
                              counting_ = behind(partition, hash);
                              full = ++looked >= most;
                              return !full;
                            });
    if (err)
      return;
    if (!full)
      counting_ = hint_cursor{static_cast<partition_id>(partition + 1), 0};
    if (counting_->partition >= partitions_)
      counting_.reset();
  }
}

caf::error hint_store::keep(engine& storage, hint x, timestamp now) {
  if (x.target.empty() || x.target.size() > target_bytes_max)
    return failure(errc::malformed, "a hint for a member without a proper name");
  auto name = name_of(x);
  auto before = held(storage, x.partition, name);
  if (!before)
    return before.error();
  auto next = *before ? merge(**before, x.value) : std::move(x.value);
  if (*before && next == **before)
    return caf::none;
  auto grown = static_cast<int64_t>(bytes_of(name, next)) -
               static_cast<int64_t>(*before ? bytes_of(name, **before) : 0);
  auto for_target = report_.held.find(x.target);
  auto target_bytes = for_target == report_.held.end() ? 0 : for_target->second.bytes;
  auto exceeds = [grown](uint64_t have, uint64_t most) {
    return grown > 0 && have + static_cast<uint64_t>(grown) > most;
  };
  if (exceeds(bytes_, limits_.bytes) || exceeds(target_bytes, limits_.target_bytes)) {
    ++report_.dropped;
    return failure(errc::overloaded, "too many hints for " + x.target + " are kept already");
  }
  put(x.partition, name, std::move(next), *before, now);
  ++report_.stored;
  return caf::none;
}

bool hint_store::drop_taken(engine& storage, const hint& x) {
  auto dropped = drop(storage, x);
  report_.replayed += dropped;
  return dropped;
}

bool hint_store::drop(engine& storage, const hint& x) {
  auto name = name_of(x);
  auto now = held(storage, x.partition, name);
  if (!now || !*now || digest_of(name, **now) != digest_of(name, x.value))
    return false;
  put(x.partition, name, std::nullopt, *now, 0);
  return true;
}

hint_list hint_store::find_some(engine& storage, const hint_question& x, timestamp now) {
  hint_list found;
  std::vector<hint> old;
  auto age = static_cast<uint64_t>(
      std::chrono::duration_cast<std::chrono::microseconds>(limits_.age).count());
  size_t looked = 0;
  size_t bytes = 0;
  for (auto i = places_.lower_bound(x.from.partition); i != places_.end() && !found.next; ++i) {
    auto partition = i->first;
    auto goes = [&](const std::string& target) {
      return !route_of(*x.view, partition, target).to.empty();
    };
    if (!x.all && std::none_of(i->second.begin(), i->second.end(),
                               [&](auto& target) { return goes(target.first); }))
      continue;
    auto visit = [&](uint64_t hash, const blob& name, record&& value) {
      auto one = parse(partition, name, std::move(value));
      if (one && oldest_of(one->value) + age < now) {
        old.push_back(std::move(*one));
      } else if (one && goes(one->target)) {
        bytes += bytes_of(name.view(), one->value);
        found.hints.push_back(std::move(*one));
      }
      auto enough = ++looked >= limits::hints_looked_at_max ||
                    found.hints.size() >= limits::hints_in_flight_max ||
                    bytes >= limits::hint_bytes_in_flight_max;
      if (enough)
        found.next = behind(partition, hash);
      return !enough;
    };
    auto from = partition == x.from.partition ? x.from.hash : 0;
    if (storage.scan(partition, area::hint, from, visit))
      break;
  }
  for (auto& one : old)
    report_.dropped += drop(storage, one);
  return found;
}

void hint_store::add_to(write_batch& batch) const {
  for (auto& [name, x] : changes_)
    if (x.value)
      batch.put(x.partition, area::hint, blob::copy_of(name), *x.value);
    else
      batch.remove(x.partition, area::hint, blob::copy_of(name));
}

void hint_store::written(bool ok) {
  if (!ok)
    for (auto& [name, x] : changes_)
      add(x.partition, target_in(name), -x.count, -x.bytes, 0);
  changes_.clear();
}

/// A damaged one is lost, and replaced by what comes.
caf::expected<std::optional<record>> hint_store::held(engine& storage, partition_id partition,
                                                      const std::string& name) const {
  auto i = changes_.find(name);
  if (i != changes_.end())
    return i->second.value;
  auto found = storage.read(partition, area::hint, name);
  if (!found && found.error() == errc::damaged)
    return std::optional<record>{};
  return found;
}

void hint_store::put(partition_id partition, const std::string& name, std::optional<record> next,
                     const std::optional<record>& before, timestamp now) {
  auto& x = changes_[name];
  x.partition = partition;
  if (counted(partition, name)) {
    auto bytes = [&](auto& y) { return static_cast<int64_t>(y ? bytes_of(name, *y) : 0); };
    auto count = int64_t{next.has_value()} - int64_t{before.has_value()};
    auto grown = bytes(next) - bytes(before);
    add(partition, target_in(name), count, grown, now);
    x.count += count;
    x.bytes += grown;
  }
  x.value = std::move(next);
}

/// Whether it is in the tallies, or would be, were it there.
bool hint_store::counted(partition_id partition, std::string_view name) const {
  if (!counting_ || partition != counting_->partition)
    return !counting_ || partition < counting_->partition;
  return key_hash(name) < counting_->hash;
}

void hint_store::add(partition_id partition, std::string_view target, int64_t count, int64_t bytes,
                     timestamp since) {
  bytes_ += static_cast<uint64_t>(bytes);
  std::string name{target};
  auto& x = report_.held[name];
  if (count > 0)
    x.oldest = x.count == 0 ? since : std::min(x.oldest, since);
  x.count += static_cast<uint64_t>(count);
  x.bytes += static_cast<uint64_t>(bytes);
  if (x.count == 0)
    report_.held.erase(name);
  auto& here = places_[partition];
  if ((here[name] += static_cast<uint64_t>(count)) == 0)
    here.erase(name);
  if (here.empty())
    places_.erase(partition);
}

} // namespace kai
