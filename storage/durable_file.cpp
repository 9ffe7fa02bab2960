#include "storage/durable_file.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <memory>
#include <vector>

namespace kai {

namespace {

leveldb::Status write_synced(leveldb::Env& env, const std::string& path, std::string_view bytes) {
  leveldb::WritableFile* made = nullptr;
  auto status = env.NewWritableFile(path, &made);
  if (!status.ok())
    return status;
  std::unique_ptr<leveldb::WritableFile> file{made};
  status = file->Append({bytes.data(), bytes.size()});
  if (status.ok())
    status = file->Sync();
  auto closed = file->Close();
  return status.ok() ? closed : status;
}

// LevelDB's environment cannot: in others than the machine's a rename is durable at once.
leveldb::Status sync_directory(leveldb::Env& env, const std::string& path) {
  if (&env != leveldb::Env::Default())
    return leveldb::Status::OK();
  auto fd = ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  auto good = fd >= 0 && ::fsync(fd) == 0;
  auto reason = errno;
  if (fd >= 0)
    ::close(fd);
  return good ? leveldb::Status::OK() : leveldb::Status::IOError(path, std::strerror(reason));
}

} // namespace

leveldb::Status replace_file(leveldb::Env& env, const std::string& directory,
                             const std::string& name, std::string_view bytes) {
  auto target = directory + "/" + name;
  auto draft = target + ".new";
  auto status = write_synced(env, draft, bytes);
  if (status.ok())
    status = env.RenameFile(draft, target);
  else
    env.RemoveFile(draft);
  return status.ok() ? sync_directory(env, directory) : status;
}

leveldb::Status make_directories(leveldb::Env& env, const std::string& path) {
  std::vector<std::string> children;
  if (env.GetChildren(path, &children).ok())
    return leveldb::Status::OK();
  if (auto slash = path.rfind('/'); slash != std::string::npos && slash > 0)
    if (auto status = make_directories(env, path.substr(0, slash)); !status.ok())
      return status;
  auto status = env.CreateDir(path);
  // Somebody else may have been faster.
  return env.GetChildren(path, &children).ok() ? leveldb::Status::OK() : status;
}

} // namespace kai
