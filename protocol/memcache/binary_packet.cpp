#include "protocol/memcache/binary_packet.hpp"

namespace kai::memcache {

std::string_view text_of(binary_status x) {
  switch (x) {
  case binary_status::success:
  case binary_status::auth_continue: break;
  case binary_status::key_not_found: return "Not found";
  case binary_status::key_exists: return "Data exists for key.";
  case binary_status::too_large: return "Too large.";
  case binary_status::invalid_arguments: return "Invalid arguments";
  case binary_status::not_stored: return "Not stored.";
  case binary_status::not_a_number: return "Non-numeric server-side value for incr or decr";
  case binary_status::auth_error: return "Auth failure.";
  case binary_status::unknown_command: return "Unknown command";
  case binary_status::out_of_memory: return "Out of memory";
  case binary_status::busy: return "Busy";
  case binary_status::temporary_failure: return "Temporary failure";
  }
  return {};
}

bool answers_with_key(uint8_t opcode) {
  return opcode == 0x0c || opcode == 0x0d || opcode == 0x23 || opcode == 0x24;
}

} // namespace kai::memcache
