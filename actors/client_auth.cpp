#include "actors/client_auth.hpp"

#include "actors/client_commands.hpp"
#include "protocol/memcache/binary_reply.hpp"
#include "protocol/memcache/credentials.hpp"

namespace kai {

namespace {

using memcache::binary_status;
using memcache::codec;
using memcache::verb;

constexpr std::string_view mechanism = "PLAIN";

void conclude(connection_state& st, bool accepted) {
  ++st.loop->count.auth_cmds;
  require_authentication(st, !accepted);
  if (!accepted)
    ++st.loop->count.auth_errors;
}

/// memcached's ASCII scheme: `set` any key to "user password".
void take_text(connection_state& st, const memcache::command& c) {
  conclude(st, st.loop->credentials->accept_text(c.value.view()));
  if (st.authenticated)
    return add_text(st, "STORED\r\n");
  auto two_words = c.value.view().find(' ') != std::string_view::npos;
  add_text(st, two_words ? "CLIENT_ERROR authentication failure\r\n"
                         : "CLIENT_ERROR bad authentication token format\r\n");
}

void send(connection_state& st, const memcache::command& c, binary_status status,
          std::string_view value = {}) {
  memcache::output packet;
  memcache::append_packet(packet, c.form, status, value);
  add_text(st, {packet.data(), packet.size()});
}

void refuse(connection_state& st, const memcache::command& c, binary_status status) {
  send(st, c, status, text_of(status));
}

} // namespace

void require_authentication(connection_state& st, bool x) {
  st.authenticated = !x;
  if (st.text)
    st.text->require_authentication(x);
  if (st.binary)
    st.binary->require_authentication(x);
}

void take_before_authentication(connection_state& st, const memcache::command& c) {
  if (c.form.through != codec::binary)
    take_text(st, c);
  else if (c.op == verb::version)
    send(st, c, binary_status::success, memcache_version);
  else
    take_sasl(st, c);
}

void take_sasl(connection_state& st, const memcache::command& c) {
  if (!st.loop->credentials)
    return refuse(st, c, binary_status::unknown_command);
  if (c.op == verb::sasl_mechanisms)
    return send(st, c, binary_status::success, mechanism);
  auto started = std::exchange(st.sasl_started, false);
  auto possible = c.op == verb::sasl_step ? started : c.keys.front().view() == mechanism;
  // PLAIN's only message may come with the start or after it.
  if (possible && c.op == verb::sasl_start && c.value.empty()) {
    st.sasl_started = true;
    return send(st, c, binary_status::auth_continue);
  }
  conclude(st, possible && st.loop->credentials->accept_plain(c.value.view()));
  if (st.authenticated)
    send(st, c, binary_status::success, "Authenticated");
  else
    refuse(st, c, binary_status::auth_error);
}

} // namespace kai
