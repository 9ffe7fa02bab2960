#include "protocol/memcache/binary_parser.hpp"
#include "test/fuzz/fuzzing.hpp"

/// The parser of the binary protocol: its results do not depend on how the bytes arrive.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace kai;
  std::string_view bytes{reinterpret_cast<const char*>(data), size};
  auto whole = fuzz::parse<memcache::binary_parser>(bytes, size + 1);
  fuzz::require(fuzz::parse<memcache::binary_parser>(bytes, 1) == whole);
  fuzz::require(fuzz::parse<memcache::binary_parser>(bytes, 11) == whole);
  return 0;
}
