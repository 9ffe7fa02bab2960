#include "protocol/memcache/text_parser.hpp"
#include "test/fuzz/fuzzing.hpp"

/// The parser of text and meta commands: its results do not depend on how the bytes arrive.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace kai;
  std::string_view bytes{reinterpret_cast<const char*>(data), size};
  auto whole = fuzz::parse<memcache::text_parser>(bytes, size + 1);
  // Only memcached's rules for long lines look at where a read ends.
  if (size <= limits::command_line_bytes_max) {
    fuzz::require(fuzz::parse<memcache::text_parser>(bytes, 1) == whole);
    fuzz::require(fuzz::parse<memcache::text_parser>(bytes, 7) == whole);
  } else {
    fuzz::parse<memcache::text_parser>(bytes, 1000);
  }
  return 0;
}
