#include "storage/leveldb_keys.hpp"

#include <boost/endian/conversion.hpp>

namespace kai::leveldb_keys {

namespace {

constexpr uint16_t special = 0xffff;
constexpr size_t prefix_bytes = 2 + 1 + 8;

enum class special_area : uint8_t { counts = 0, meta = 1, aside = 2 };

template <class T>
void append(std::string& out, T x) {
  boost::endian::native_to_big_inplace(x);
  out.append(reinterpret_cast<const char*>(&x), sizeof x);
}

template <class T>
T number_at(std::string_view in, size_t offset) {
  T x;
  in.copy(reinterpret_cast<char*>(&x), sizeof x, offset);
  return boost::endian::big_to_native(x);
}

std::string special_key(special_area where, std::string_view rest = {}) {
  std::string result;
  append(result, special);
  append(result, static_cast<uint8_t>(where));
  return result.append(rest);
}

} // namespace

std::string range_start(partition_id partition, area where, uint64_t hash) {
  std::string result;
  append(result, partition);
  append(result, static_cast<uint8_t>(where));
  append(result, hash);
  return result;
}

std::string range_end(partition_id partition, area where) {
  std::string result;
  append(result, partition);
  append(result, static_cast<uint8_t>(static_cast<uint8_t>(where) + 1));
  return result;
}

std::string record_key(partition_id partition, area where, std::string_view key) {
  return range_start(partition, where, key_hash(key)).append(key);
}

std::optional<parts> parse(std::string_view key) {
  if (key.size() < prefix_bytes || number_at<uint16_t>(key, 0) == special)
    return std::nullopt;
  return parts{number_at<uint16_t>(key, 0), static_cast<area>(number_at<uint8_t>(key, 2)),
               number_at<uint64_t>(key, 3), key.substr(prefix_bytes)};
}

std::string counts_key() { return special_key(special_area::counts); }
std::string meta_key(std::string_view name) { return special_key(special_area::meta, name); }
std::string aside_key(std::string_view key) { return special_key(special_area::aside, key); }
std::string aside_start() { return special_key(special_area::aside); }

} // namespace kai::leveldb_keys
