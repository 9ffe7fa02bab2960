#pragma once

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <functional>
#include <string>

#include <caf/expected.hpp>

#include "protocol/hash.hpp"
#include "protocol/version.hpp"

/// The files of a backup: `backup.json`, written last, and one `partition-NNNNN` per partition: a
/// line that says what it is, then key and record in turns, each record with the checksum that the
/// engines use (storage/record_codec.hpp), then an empty key and the number of records.
namespace kai {

/// What is in a backup as a whole.
struct backup_summary {
  uint64_t cluster_id = 0;
  uint32_t partitions = 0;
  uint64_t keys = 0;
  /// Of the records as they are stored.
  uint64_t bytes = 0;
};

/// Writes one partition's file. Without `finish` nothing under its name exists.
class backup_writer {
public:
  /// `directory` must exist.
  backup_writer(const std::filesystem::path& directory, partition_id partition);

  void add(std::string_view key, const record& value);
  /// Ends the file, makes it durable and gives it its name.
  caf::error finish();

  uint64_t keys() const { return keys_; }
  uint64_t bytes() const { return bytes_; }

private:
  void put(const std::string& bytes);
  void note_failure();

  std::filesystem::path path_;
  std::ofstream out_;
  /// errno of what failed first; 0: nothing, or nothing is known.
  int error_ = 0;
  partition_id partition_;
  uint64_t keys_ = 0;
  uint64_t bytes_ = 0;
};

/// Reads one partition's file, and calls `visit` for each record until that says false. Errors:
/// errc::damaged (a file that is cut, longer, or whose bytes changed), errc::storage_failed, each
/// with the file's name.
caf::error read_backup(const std::filesystem::path& directory, partition_id partition,
                       const std::function<bool(std::string key, record value)>& visit);

/// Makes the directory that a backup goes to. It has to be empty, or not there.
caf::error make_backup_directory(const std::filesystem::path& directory);

caf::error write_summary(const std::filesystem::path& directory, const backup_summary& x);
/// Fails where there is no whole backup.
caf::expected<backup_summary> read_summary(const std::filesystem::path& directory);

} // namespace kai
