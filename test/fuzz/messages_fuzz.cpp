#include "protocol/messages.hpp"
#include "test/fuzz/fuzzing.hpp"

namespace {

/// What is decoded is encoded to something that decodes as well.
template <class Decode>
void check(const kai::blob& bytes, Decode decode) {
  kai::byte_reader in{bytes};
  auto found = decode(in);
  if (!in.done())
    return;
  std::string again;
  kai::byte_writer out{again};
  encode(out, found);
  auto copy = kai::blob::copy_of(again);
  kai::byte_reader second{copy};
  decode(second);
  kai::fuzz::require(second.done());
}

} // namespace

/// Batches of calls and of answers between nodes.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace kai;
  auto bytes = blob::copy_of({reinterpret_cast<const char*>(data), size});
  check(bytes, decode_call_batch);
  check(bytes, decode_answer_batch);
  return 0;
}
