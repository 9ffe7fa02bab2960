#include "protocol/errc.hpp"

#include <caf/actor_system_config.hpp>
#include <caf/message.hpp>

namespace kai {

std::string to_string(errc x) {
  switch (x) {
  case errc::peer_down: return "peer_down";
  case errc::timed_out: return "timed_out";
  case errc::overloaded: return "overloaded";
  case errc::quorum_failed: return "quorum_failed";
  case errc::contended: return "contended";
  case errc::not_owner: return "not_owner";
  case errc::storage_failed: return "storage_failed";
  case errc::out_of_memory: return "out_of_memory";
  case errc::damaged: return "damaged";
  case errc::malformed: return "malformed";
  case errc::bad_configuration: return "bad_configuration";
  case errc::incompatible: return "incompatible";
  case errc::refused: return "refused";
  case errc::not_a_member: return "not_a_member";
  }
  return "unknown(" + std::to_string(static_cast<int>(x)) + ")";
}

caf::error failure(errc code, std::string message) {
  return caf::make_error(code, std::move(message));
}

std::string message_of(const caf::error& err) {
  if (!err)
    return {};
  if (err.category() != caf::atom("kai"))
    return caf::actor_system_config::render(err);
  if (err.context().match_elements<std::string>())
    return err.context().get_as<std::string>(0);
  return to_string(static_cast<errc>(err.code()));
}

} // namespace kai
