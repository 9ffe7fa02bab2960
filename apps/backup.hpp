#pragma once

#include <filesystem>
#include <functional>

#include "apps/backup_file.hpp"
#include "apps/cluster_client.hpp"

/// kai-admin backup and restore: a cluster's records, partition by partition, into files and back.
namespace kai {

/// Told after each partition: how many of how many, and the sums so far.
using backup_progress =
    std::function<void(size_t partitions_done, size_t partitions, const backup_summary& so_far)>;

/// Copies what R replicas of each partition hold, merged, while the cluster goes on: a write that
/// is acknowledged before its partition's turn is in the copy, one after it is not, one in between
/// may be. Records that are deleted, expired or flushed are left out. `directory` has to be new or
/// empty; it is a backup when this returns one. Errors: a partition of which fewer than R replicas
/// answer.
caf::expected<backup_summary> back_up(cluster_client& cluster,
                                      const std::filesystem::path& directory,
                                      const backup_progress& progress);

/// Stores the records of a backup, with their versions, at W replicas at least of wherever they
/// belong in this cluster, which may have another number of partitions and members. What the
/// cluster has and is newer stays. May be done again. Reads all files before it stores anything of
/// them.
caf::expected<backup_summary> restore(cluster_client& cluster,
                                      const std::filesystem::path& directory,
                                      const backup_progress& progress);

} // namespace kai
