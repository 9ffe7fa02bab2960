#pragma once

#include <chrono>
#include <map>
#include <optional>
#include <string>
#include <unordered_map>

#include "actors/interfaces.hpp"
#include "protocol/limits.hpp"
#include "protocol/routing.hpp"
#include "storage/engine.hpp"

namespace kai {

/// What a hint_store may hold.
struct hint_limits {
  uint64_t bytes = limits::hint_bytes_max;
  uint64_t target_bytes = limits::hint_target_bytes_max;
  std::chrono::nanoseconds age = limits::hint_age(std::chrono::hours{1});
};

/// The hints that one vnode keeps: area::hint of its engine, and what is known of that area without
/// looking. Several hints for one key and target are one, merged. A key of the area is the length
/// of the target's name (1 byte), the name, and the client's key.
///
/// Changes gather until `add_to` puts them into the batch that the vnode writes, and `written` says
/// what became of it; until then they are seen like what is stored.
class hint_store {
public:
  void use(const hint_limits& x) { limits_ = x; }

  /// After a start: counts what the engine holds already, some at a time, of so many partitions.
  void count_from_start(uint32_t partitions);
  /// The engine has lost something: what is in the tallies may not be there.
  void count_again();
  /// Not while changes wait to be written.
  void count_some(engine& storage, size_t most);

  /// errc::overloaded: it would be too much, nothing was kept. Errors of the engine.
  caf::error keep(engine& storage, hint x, timestamp now);
  /// Its target has it: it goes, unless it changed meanwhile.
  bool drop_taken(engine& storage, const hint& x);

  /// The next ones that can be delivered. Drops those that are too old.
  hint_list find_some(engine& storage, const hint_question& x, timestamp now);

  bool changed() const { return !changes_.empty(); }
  void add_to(write_batch& batch) const;
  void written(bool ok);

  hint_report report() const;

private:
  /// What an area key is to hold, and by how much the tallies were changed for it.
  struct change {
    partition_id partition = 0;
    std::optional<record> value;
    int64_t count = 0;
    int64_t bytes = 0;
  };

  caf::expected<std::optional<record>> held(engine& storage, partition_id partition,
                                            const std::string& name) const;
  void put(partition_id partition, const std::string& name, std::optional<record> next,
           const std::optional<record>& before, timestamp now);
  bool drop(engine& storage, const hint& x);
  bool counted(partition_id partition, std::string_view name) const;
  void add(partition_id partition, std::string_view target, int64_t count, int64_t bytes,
           timestamp since);

  hint_limits limits_;
  std::unordered_map<std::string, change> changes_;
  /// How many there are per partition and target: where to look at all.
  std::map<partition_id, std::map<std::string, uint64_t>> places_;
  uint64_t bytes_ = 0;
  hint_report report_;
  /// Counting: what lies before it is counted, and changes there are too.
  std::optional<hint_cursor> counting_;
  uint32_t partitions_ = 0;
};

/// Where a hint for `target` goes under the view.
hint_route route_of(const cluster_view& view, partition_id partition, const std::string& target);

} // namespace kai
