#include "protocol/version.hpp"
#include "storage/record_codec.hpp"
#include "test/fuzz/fuzzing.hpp"

/// Stored records: what is decoded is encoded to something that decodes to the same, and merges
/// with itself to itself. Nothing passes the checksum of a place by accident.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace kai;
  std::string_view bytes{reinterpret_cast<const char*>(data), size};
  fuzz::require(size < 9 || !unpack_record(1, area::data, "key", blob::copy_of(bytes)));
  auto stored = blob::copy_of(bytes);
  byte_reader in{stored};
  auto found = decode_record(in);
  if (!in.done())
    return 0;
  std::string again;
  byte_writer out{again};
  encode(out, found);
  auto copy = blob::copy_of(again);
  byte_reader second{copy};
  fuzz::require(decode_record(second) == found && second.done());
  fuzz::require(merge(found, found) == found);
  return 0;
}
