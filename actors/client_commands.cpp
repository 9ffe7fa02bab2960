#include "actors/client_commands.hpp"

#include "actors/client_auth.hpp"
#include "protocol/memcache/binary_reply.hpp"
#include "protocol/memcache/command_write.hpp"

namespace kai {

namespace {

using slot = connection_state::slot;
using kind = connection_state::pipeline::kind;
using memcache::codec;
using memcache::verb;

void add_keyed(connection_state& st, slot x) {
  x.hash = key_hash(x.key.view());
  if (x.write)
    st.request_bytes += x.write->value.size();
  auto hash = x.hash;
  st.commands.add(std::move(x), kind::keyed, hash);
}

void add_reads(connection_state& st, memcache::command& c) {
  auto touches = c.op != verb::get && c.op != verb::gets;
  for (auto& key : c.keys) {
    slot x;
    x.op = c.op;
    x.command = st.next_command;
    x.ends = !c.more && &key == &c.keys.back() && c.form.through == codec::text;
    x.key = std::move(key);
    x.form = c.form;
    if (touches) {
      x.write.emplace();
      x.write->kind = mutation_kind::get_and_touch;
      x.write->expires = memcache::absolute_expiry(c.exptime, st.loop->context().wall_clock());
    }
    add_keyed(st, std::move(x));
  }
  if (c.more)
    return;
  if (c.keys.empty())
    add_text(st, "END\r\n");
  else
    ++st.next_command;
}

void add_write(connection_state& st, memcache::command& c) {
  slot x;
  x.op = c.op;
  x.noreply = c.noreply;
  x.command = st.next_command++;
  x.key = std::move(c.keys.front());
  x.form = c.form;
  x.extras = c.extras;
  x.argument = std::move(c.argument);
  x.write = memcache::write_of(c, st.loop->context().wall_clock());
  // Most of what a meta get can do it does seldom.
  x.reads_first = c.op == verb::meta_get && !c.extras.sets_exptime;
  add_keyed(st, std::move(x));
}

void add_debug(connection_state& st, memcache::command& c) {
  slot x;
  x.op = c.op;
  x.command = st.next_command++;
  x.key = std::move(c.keys.front());
  x.form = c.form;
  add_keyed(st, std::move(x));
}

void add_packet(connection_state& st, const memcache::answer_form& form,
                memcache::binary_status status, std::string_view value) {
  memcache::output packet;
  memcache::append_packet(packet, form, status, value);
  add_text(st, {packet.data(), packet.size()});
}

/// Answered at once, in its turn.
void add_version(connection_state& st, const memcache::command& c) {
  if (c.form.through == codec::binary)
    add_packet(st, c.form, memcache::binary_status::success, memcache_version);
  else
    add_text(st, std::string{"VERSION "} + memcache_version + "\r\n");
}

void add_noop(connection_state& st, const memcache::command& c) {
  if (c.form.through == codec::binary)
    add_packet(st, c.form, memcache::binary_status::success, {});
  else
    add_text(st, "MN\r\n");
}

void add_barrier(connection_state& st, memcache::command& c) {
  slot x;
  x.op = c.op;
  x.noreply = c.noreply;
  x.command = st.next_command++;
  x.form = c.form;
  x.argument = std::move(c.argument);
  x.delay = memcache::flush_delay(c.exptime, st.loop->context().wall_clock());
  st.commands.add(std::move(x), kind::barrier);
}

void set_log_level(connection_state& st, const std::string& argument) {
  auto quiet = argument.empty() || argument == "0" || argument == "1";
  st.loop->context().log.set_level(quiet ? log_level::info : log_level::debug);
}

void add_command(connection_state& st, memcache::command& c) {
  st.loop->count.cmd_meta += c.form.through == codec::meta;
  switch (c.op) {
  case verb::get:
  case verb::gets:
  case verb::gat:
  case verb::gats: return add_reads(st, c);
  case verb::version: return add_version(st, c);
  case verb::noop: return add_noop(st, c);
  case verb::meta_debug: return add_debug(st, c);
  case verb::sasl_mechanisms:
  case verb::sasl_start:
  case verb::sasl_step: return take_sasl(st, c);
  case verb::verbosity:
    set_log_level(st, c.argument);
    return add_text(st, c.noreply ? "" : "OK\r\n");
  case verb::flush_all:
  case verb::stats:
  case verb::quit: return add_barrier(st, c);
  case verb::touch:
    // Its answer has the flags, which take reading the value.
    return c.form.through == codec::binary ? add_reads(st, c) : add_write(st, c);
  default: return add_write(st, c);
  }
}

void add_binary_error(connection_state& st, const memcache::answer_form& form,
                      memcache::binary_status status) {
  using memcache::binary_status;
  if (status == binary_status::success)
    return;
  if (!st.authenticated) {
    status = binary_status::auth_error;
    st.closing = true;
  }
  add_packet(st, form, status, text_of(status));
}

void add_error(connection_state& st, memcache::parse_result& x) {
  if (x.status == memcache::parse_status::fatal)
    st.closing = true;
  auto form = x.command.form;
  if (x.error == memcache::too_large_for_cache ||
      x.status_code == memcache::binary_status::too_large)
    ++st.loop->count.too_large;
  if (x.removes_key && st.authenticated) {
    slot s;
    // No command of the client's: it is not counted as one.
    s.op = verb::noop;
    s.noreply = true;
    s.command = st.next_command++;
    s.key = std::move(x.command.keys.front());
    s.write.emplace();
    s.write->kind = mutation_kind::remove;
    add_keyed(st, std::move(s));
  }
  if (form.through == codec::binary)
    return add_binary_error(st, form, x.status_code);
  // An error in the middle of a get is the end of that get, and counts as its answer.
  add_text(st, x.error);
}

} // namespace

void add_text(connection_state& st, std::string_view text) {
  slot x;
  x.command = st.next_command++;
  memcache::append(x.text, text);
  st.held_bytes += x.text.size();
  st.commands.add(std::move(x), kind::ready);
}

void take_command(connection_state& st, memcache::parse_result& x) {
  if (x.status != memcache::parse_status::complete)
    add_error(st, x);
  else if (!st.authenticated)
    take_before_authentication(st, x.command);
  else
    add_command(st, x.command);
}

} // namespace kai
