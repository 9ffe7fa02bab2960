#pragma once

#include <random>
#include <string>

#include "storage/engine.hpp"

/// Records for tests.
namespace kai::test {

inline constexpr uint32_t partitions = 16;

inline partition_id partition_for(std::string_view key) {
  return partition_of(key_hash(key), partitions);
}

inline record sample_record(uint64_t clock, std::string_view value, bool tombstone = false) {
  record x;
  version v;
  v.written = {7, clock};
  v.tombstone = tombstone;
  if (!tombstone)
    v.value = blob::copy_of(value);
  overwrite(x, std::move(v));
  return x;
}

/// With siblings, flags, expiry and touched values now and then.
inline record random_record(std::mt19937_64& random) {
  record result;
  auto siblings = random() % 4 == 0 ? 3 : 1;
  for (int i = 0; i < siblings; ++i) {
    record x;
    version v;
    v.written = {random() % 5 + 1, random() % 100000 + 1000};
    v.kept_cas = random() % 3 == 0 ? random() : 0;
    v.flags = random() % 2 == 0 ? 0 : static_cast<uint32_t>(random());
    v.expires = random() % 2 == 0 ? 0 : random() >> 10;
    v.tombstone = random() % 4 == 0;
    if (!v.tombstone)
      v.value = blob::copy_of(std::string(random() % 60, static_cast<char>(random())));
    overwrite(x, std::move(v));
    result = merge(result, x);
  }
  return result;
}

/// Writes one record of area::data, with what it replaces looked up by the engine.
inline caf::error put(engine& x, const std::string& key, record value) {
  write_batch batch;
  batch.put(partition_for(key), area::data, blob::copy_of(key), std::move(value));
  return x.write(batch);
}

inline caf::expected<std::optional<record>> get(engine& x, const std::string& key) {
  return x.read(partition_for(key), area::data, key);
}

} // namespace kai::test
