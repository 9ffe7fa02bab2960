#include "storage/directory.hpp"

#include <algorithm>
#include <cctype>
#include <vector>

#include <leveldb/env.h>

#include "protocol/errc.hpp"
#include "storage/durable_file.hpp"
#include "storage/identity_codec.hpp"
#include "storage/seal.hpp"

namespace kai {

namespace {

constexpr auto identity_name = "identity";

bool is_file_name(std::string_view name) {
  return !name.empty() && name != identity_name && name != "LOCK" && !name.starts_with("vnode-") &&
         std::all_of(name.begin(), name.end(),
                     [](unsigned char c) { return std::isalnum(c) || c == '-' || c == '_'; });
}

/// What only a node leaves behind.
bool is_trace_of_a_node(const std::string& name) {
  return name.starts_with("vnode-") || name == "topology" || name == "vote";
}

caf::error unusable(errc code, const std::string& path, const std::string& what,
                    const std::string& advice) {
  return failure(code, "storage.directory " + path + ": " + what + "; " + advice);
}

std::string without_trailing_slash(std::string path) {
  while (path.size() > 1 && path.ends_with('/'))
    path.pop_back();
  return path;
}

} // namespace

caf::expected<std::unique_ptr<node_directory>>
node_directory::open(const directory_options& options) {
  auto& env = options.env ? *options.env : *leveldb::Env::Default();
  std::unique_ptr<node_directory> result{
      new node_directory{without_trailing_slash(options.path), env}};
  if (auto err = result->lock())
    return err;
  if (auto err = result->load(options))
    return err;
  return result;
}

caf::error node_directory::lock() {
  auto status = make_directories(env_, path_);
  if (!status.ok()) {
    if (env_.FileExists(path_))
      return unusable(errc::bad_configuration, path_, "is no directory",
                      "name a directory, or one that does not exist yet");
    return unusable(errc::bad_configuration, path_, "cannot be made (" + status.ToString() + ")",
                    "make it, or check the permissions of the one above");
  }
  status = lock_.take(env_, path_ + "/LOCK");
  if (status.ok())
    return caf::none;
  // Why not? Only a directory in use can be written to all the same.
  if (auto written = replace_file(env_, path_, "probe", ""); !written.ok())
    return unusable(errc::bad_configuration, path_, "is not writable (" + written.ToString() + ")",
                    "check its permissions and its disk");
  env_.RemoveFile(path_ + "/probe");
  return unusable(errc::bad_configuration, path_, "is in use (" + status.ToString() + ")",
                  "stop the other node that runs on it, or give this one its own directory");
}

caf::error node_directory::load(const directory_options& options) {
  auto file = path_ + "/" + identity_name;
  if (!env_.FileExists(file))
    return found(options);
  std::string text;
  auto status = leveldb::ReadFileToString(&env_, file, &text);
  if (!status.ok())
    return unusable(errc::bad_configuration, path_,
                    "its file `identity` cannot be read (" + status.ToString() + ")",
                    "check its permissions and its disk");
  auto loaded = identity_from_text(text);
  if (!loaded && loaded.error() == errc::incompatible)
    return unusable(errc::incompatible, path_,
                    "was made by a newer kai: " + message_of(loaded.error()),
                    "run that version, or use another directory");
  if (!loaded)
    return unusable(errc::bad_configuration, path_, message_of(loaded.error()),
                    "restore it from a backup, or start with an empty directory: the cluster "
                    "refills it");
  identity_ = std::move(*loaded);
  if (identity_.name != options.node_name)
    return unusable(errc::bad_configuration, path_,
                    "belongs to node " + identity_.name + ", not to " + options.node_name,
                    "give each node its own directory, or set node.name=" + identity_.name);
  // An older kai could not read what is written from now on.
  return text == to_text(identity_) ? caf::none : store();
}

caf::error node_directory::found(const directory_options& options) {
  std::vector<std::string> children;
  env_.GetChildren(path_, &children);
  if (std::any_of(children.begin(), children.end(), is_trace_of_a_node))
    return unusable(errc::bad_configuration, path_,
                    "holds a node's data, but its file `identity` is missing",
                    "restore it from a backup, or start with an empty directory: the cluster "
                    "refills it");
  if (options.node_name.empty() || options.node_name.find('\n') != std::string::npos)
    return failure(errc::bad_configuration, "node.name: must be one line of text");
  identity_ = {options.fresh_node_id, options.node_name, std::max(options.vnodes, 1u)};
  return store();
}

caf::error node_directory::store() {
  auto status = replace_file(env_, path_, identity_name, to_text(identity_));
  return status.ok() ? caf::error{} : io_failed("identity: " + status.ToString());
}

std::string node_directory::vnode_path(uint32_t i) const {
  return path_ + "/vnode-" + std::to_string(i);
}

caf::expected<std::optional<std::string>> node_directory::read_file(std::string_view name) const {
  auto file = path_ + "/" + std::string{name};
  if (!is_file_name(name) || !env_.FileExists(file))
    return std::optional<std::string>{};
  std::string bytes;
  if (auto status = leveldb::ReadFileToString(&env_, file, &bytes); !status.ok())
    return io_failed(std::string{name} + ": " + status.ToString());
  auto value = unsealed(name, bytes);
  if (!value)
    return unusable(errc::damaged, path_, "its file `" + std::string{name} + "` is damaged",
                    "restore it from a backup, or start with an empty directory: the cluster "
                    "refills it");
  return value;
}

caf::error node_directory::write_file(std::string_view name, std::string_view bytes) {
  if (!is_file_name(name))
    return failure(errc::refused, "not a name for a file of ours: " + std::string{name});
  auto status = replace_file(env_, path_, std::string{name}, sealed(name, bytes));
  return status.ok() ? caf::error{} : io_failed(std::string{name} + ": " + status.ToString());
}

caf::error node_directory::io_failed(const std::string& what) const {
  return unusable(errc::storage_failed, path_, what, "check its disk");
}

} // namespace kai
