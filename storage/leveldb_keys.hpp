#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "storage/engine.hpp"

/// The keys of a vnode's LevelDB database. Numbers are big-endian here, so that byte order is
/// number order and a partition's area is one range in the order of hashes:
///
///     partition (2) | area (1) | hash of the key (8) | key
///
/// No partition is numbered 0xffff (limits::partitions_max); what is not a record lies there:
///
///     ff ff 00          the counts of stats, only while the database is closed in order
///     ff ff 01 NAME     engine::write_meta
///     ff ff 02 KEY      the bytes of a damaged record that lay at KEY
namespace kai::leveldb_keys {

/// The key of a record.
std::string record_key(partition_id partition, area where, std::string_view key);

/// Where the records of an area from a hash on begin.
std::string range_start(partition_id partition, area where, uint64_t hash);

/// The first key behind the area.
std::string range_end(partition_id partition, area where);

struct parts {
  partition_id partition;
  area where;
  uint64_t hash;
  std::string_view key;
};

/// nullopt for what is no record's key.
std::optional<parts> parse(std::string_view key);

std::string counts_key();
std::string meta_key(std::string_view name);
std::string aside_key(std::string_view record_key);
/// Where all keys of damaged records begin; they are the last in the database.
std::string aside_start();

} // namespace kai::leveldb_keys
