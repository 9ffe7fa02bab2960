#include "storage/record_codec.hpp"

#include <xxhash.h>

#include "protocol/errc.hpp"
#include "protocol/wire.hpp"

namespace kai {

namespace {

constexpr size_t header_bytes = 1 + sizeof(uint64_t);

uint64_t checksum_of(uint8_t format, partition_id partition, area where, std::string_view key,
                     std::string_view body) {
  auto place = uint64_t{partition} << 16 | uint64_t{static_cast<uint8_t>(where)} << 8 | format;
  auto seed = XXH3_64bits_withSeed(key.data(), key.size(), place);
  return XXH3_64bits_withSeed(body.data(), body.size(), seed);
}

} // namespace

void pack_record(std::string& out, partition_id partition, area where, std::string_view key,
                 const record& x) {
  auto start = out.size();
  byte_writer writer{out};
  writer.u8(record_format);
  writer.u64(0);
  encode(writer, x);
  auto body = std::string_view{out}.substr(start + header_bytes);
  auto checksum = checksum_of(record_format, partition, where, key, body);
  boost::endian::native_to_little_inplace(checksum);
  out.replace(start + 1, sizeof checksum, reinterpret_cast<const char*>(&checksum),
              sizeof checksum);
}

caf::expected<record> unpack_record(partition_id partition, area where, std::string_view key,
                                    const blob& stored) {
  byte_reader reader{stored};
  auto format = reader.u8();
  auto checksum = reader.u64();
  if (!reader.ok() || format != record_format)
    return failure(errc::damaged, "stored record: too short, or its format is unknown");
  auto body = stored.view().substr(header_bytes);
  if (checksum != checksum_of(format, partition, where, key, body))
    return failure(errc::damaged, "stored record: wrong checksum");
  auto result = decode_record(reader);
  if (!reader.done())
    return failure(errc::damaged, "stored record: right checksum, but no record");
  return result;
}

std::optional<uint64_t> packed_digest(std::string_view key, const blob& stored) {
  byte_reader reader{stored.view()};
  auto format = reader.u8();
  reader.u64();
  auto result = encoded_digest(key, reader);
  return format == record_format && reader.done() ? std::optional{result} : std::nullopt;
}

} // namespace kai
