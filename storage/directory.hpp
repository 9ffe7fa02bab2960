#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include <caf/expected.hpp>

#include "protocol/version.hpp"
#include "storage/directory_lock.hpp"

namespace kai {

/// To whom a directory belongs: what its file `identity` says, one fact a line, a checksum below.
struct directory_identity {
  node_id node = 0;
  /// node.name.
  std::string name;
  /// Databases `vnode-0`, `vnode-1`, ...; fixed when the directory is made.
  uint32_t vnodes = 1;

  friend bool operator==(const directory_identity&, const directory_identity&) = default;
};

struct directory_options {
  /// storage.directory; made when missing.
  std::string path;
  /// node.name; must be the directory's.
  std::string node_name;
  /// For a directory that is new: random.
  node_id fresh_node_id = 0;
  /// For a directory that is new.
  uint32_t vnodes = 1;
  /// null: the machine's files. Must outlive the directory.
  leveldb::Env* env = nullptr;
};

/// A node's directory: its identity, its lock, its databases' places and a few small files. One
/// process holds it at a time, from `open` until it is destroyed.
///
///     LOCK  identity  topology  vote  ...  vnode-0/  vnode-1/  ...
///
/// Errors name the directory, what is wrong with it and what to do: errc::bad_configuration (in
/// use, no directory, another node's, unreadable), errc::incompatible (a newer version's),
/// errc::storage_failed (the disk), errc::damaged (a file's checksum).
class node_directory {
public:
  static caf::expected<std::unique_ptr<node_directory>> open(const directory_options& options);

  const directory_identity& identity() const { return identity_; }

  /// Where vnode `i` has its database.
  std::string vnode_path(uint32_t i) const;

  /// Small facts under a name of letters, digits, '-' and '_'. Replaced whole, and durable on
  /// return. nullopt: never written.
  caf::expected<std::optional<std::string>> read_file(std::string_view name) const;
  caf::error write_file(std::string_view name, std::string_view bytes);

private:
  node_directory(std::string path, leveldb::Env& env) : path_(std::move(path)), env_(env) {}

  caf::error lock();
  caf::error load(const directory_options& options);
  caf::error found(const directory_options& options);
  caf::error store();
  caf::error io_failed(const std::string& what) const;

  std::string path_;
  leveldb::Env& env_;
  directory_lock lock_;
  directory_identity identity_;
};

} // namespace kai
