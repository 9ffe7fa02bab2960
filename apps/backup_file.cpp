#include "apps/backup_file.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <exception>

#include <fcntl.h>
#include <unistd.h>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "protocol/errc.hpp"
#include "protocol/limits.hpp"
#include "storage/record_codec.hpp"

namespace kai {

namespace fs = std::filesystem;

namespace {

/// Format 1, in which no version has a cas unique that it kept, is read as well.
constexpr int format = 2;
constexpr int format_min = 1;
constexpr const char* summary_name = "backup.json";
/// A key or record in a file that claims more is damaged.
constexpr uint64_t part_bytes_max = uint64_t{1} << 31;

std::string first_line(int x) { return fmt::format("kai backup, format {}\n", x); }

fs::path file_of(const fs::path& directory, partition_id partition) {
  return directory / fmt::format("partition-{:05}", partition);
}

fs::path unfinished(const fs::path& path) { return path.string() + ".part"; }

caf::error damaged(const fs::path& path, const std::string& how) {
  return failure(errc::damaged, path.string() + " is damaged: " + how);
}

/// `error`: of errno; 0: unknown.
caf::error failed(const fs::path& path, const std::string& what, int error) {
  std::string why = error == 0 ? "" : std::string{": "} + std::strerror(error);
  return failure(errc::storage_failed, path.string() + " can not be " + what + why);
}

/// Makes what is written at `path` survive a crash. 0, or what errno says.
int make_durable(const fs::path& path) {
  auto fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  auto error = fd >= 0 && ::fsync(fd) == 0 ? 0 : errno;
  if (fd >= 0)
    ::close(fd);
  return error;
}

caf::error give_name(const fs::path& path) {
  auto error = make_durable(unfinished(path));
  if (error == 0 && ::rename(unfinished(path).c_str(), path.c_str()) != 0)
    error = errno;
  if (error == 0)
    error = make_durable(path.parent_path());
  return error == 0 ? caf::none : failed(path, "made durable", error);
}

/// A length and so many bytes; false at the end of the file or where there are fewer.
bool read_part(std::istream& in, std::string& part) {
  uint64_t size = 0;
  for (int shift = 0;; shift += 7) {
    auto byte = in.get();
    if (byte == std::istream::traits_type::eof() || shift > 28)
      return false;
    size |= static_cast<uint64_t>(byte & 0x7f) << shift;
    if (byte < 0x80)
      break;
  }
  if (size > part_bytes_max)
    return false;
  // As much as there is, not as much as a damaged length says.
  part.clear();
  constexpr uint64_t step = 1 << 20;
  while (part.size() < size) {
    auto begin = part.size();
    auto more = std::min<uint64_t>(step, size - begin);
    part.resize(begin + more);
    if (!in.read(part.data() + begin, static_cast<std::streamsize>(more)))
      return false;
  }
  return true;
}

} // namespace

backup_writer::backup_writer(const fs::path& directory, partition_id partition)
    : path_(file_of(directory, partition)),
      out_(unfinished(path_), std::ios::binary | std::ios::trunc), partition_(partition) {
  error_ = out_ ? 0 : errno;
  put(first_line(format));
}

void backup_writer::put(const std::string& bytes) {
  errno = 0;
  out_ << bytes;
  note_failure();
}

void backup_writer::note_failure() {
  if (!out_ && error_ == 0)
    error_ = errno;
}

void backup_writer::add(std::string_view key, const record& value) {
  std::string packed;
  pack_record(packed, partition_, area::data, key, value);
  std::string bytes;
  byte_writer to{bytes};
  to.bytes(key);
  to.bytes(packed);
  put(bytes);
  ++keys_;
  bytes_ += packed.size();
}

caf::error backup_writer::finish() {
  std::string bytes;
  byte_writer to{bytes};
  to.bytes({});
  to.u64(keys_);
  put(bytes);
  errno = 0;
  out_.close();
  note_failure();
  return out_ ? give_name(path_) : failed(path_, "written", error_);
}

caf::error read_backup(const fs::path& directory, partition_id partition,
                       const std::function<bool(std::string key, record value)>& visit) {
  auto path = file_of(directory, partition);
  std::ifstream in{path, std::ios::binary};
  if (!in)
    return failed(path, "read", errno);
  auto line = first_line(format);
  if (!in.read(line.data(), static_cast<std::streamsize>(line.size())) ||
      (line != first_line(format) && line != first_line(format_min)))
    return damaged(path, "it does not begin as a backup of this format");
  uint64_t keys = 0;
  for (std::string key, packed;; ++keys) {
    if (!read_part(in, key) || key.size() > limits::key_bytes_max)
      return damaged(path, "it is cut off");
    if (key.empty())
      break;
    if (!read_part(in, packed))
      return damaged(path, "it is cut off");
    auto value = unpack_record(partition, area::data, key, blob::copy_of(packed));
    if (!value)
      return damaged(path, message_of(value.error()));
    if (!visit(key, std::move(*value)))
      return caf::none;
  }
  std::string end(sizeof(uint64_t), '\0');
  if (!in.read(end.data(), static_cast<std::streamsize>(end.size())) ||
      byte_reader{std::string_view{end}}.u64() != keys || in.peek() != EOF)
    return damaged(path, "its end is not that of a backup");
  return caf::none;
}

caf::error make_backup_directory(const fs::path& directory) {
  std::error_code err;
  fs::create_directories(directory, err);
  if (err)
    return failure(errc::storage_failed, directory.string() + " can not be made: " + err.message());
  if (!fs::is_empty(directory, err) || err)
    return failure(errc::refused, directory.string() + " is not empty: a backup takes a new one");
  return caf::none;
}

caf::error write_summary(const fs::path& directory, const backup_summary& x) {
  auto path = directory / summary_name;
  errno = 0;
  std::ofstream out{unfinished(path), std::ios::trunc};
  out << nlohmann::json{{"format", format},
                        {"cluster", fmt::format("{:016x}", x.cluster_id)},
                        {"partitions", x.partitions},
                        {"keys", x.keys},
                        {"bytes", x.bytes}}
             .dump()
      << "\n";
  out.close();
  return out ? give_name(path) : failed(path, "written", errno);
}

caf::expected<backup_summary> read_summary(const fs::path& directory) {
  auto path = directory / summary_name;
  std::ifstream in{path};
  if (!in)
    return failure(errc::refused,
                   directory.string() + " holds no whole backup: there is no " + summary_name);
  try {
    auto x = nlohmann::json::parse(in, nullptr, false);
    if (int found = x.at("format"); found < format_min || found > format)
      return failure(errc::incompatible, path.string() + " is of another format");
    backup_summary result;
    result.cluster_id = std::stoull(x.at("cluster").get<std::string>(), nullptr, 16);
    result.partitions = x.at("partitions");
    result.keys = x.at("keys");
    result.bytes = x.at("bytes");
    if (result.partitions == 0 || result.partitions > limits::partitions_max ||
        (result.partitions & (result.partitions - 1)) != 0)
      return damaged(path, "a number of partitions that can not be");
    return result;
  } catch (const std::exception& err) {
    return damaged(path, err.what());
  }
}

} // namespace kai
