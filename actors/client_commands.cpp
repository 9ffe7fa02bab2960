#include "actors/client_commands.hpp"

#include "protocol/memcache/credentials.hpp"

namespace kai {

namespace {

using slot = connection_state::slot;
using kind = connection_state::pipeline::kind;
using memcache::verb;

mutation_kind mutation_of(verb op) {
  switch (op) {
  case verb::add: return mutation_kind::add;
  case verb::replace: return mutation_kind::replace;
  case verb::append: return mutation_kind::append;
  case verb::prepend: return mutation_kind::prepend;
  case verb::cas: return mutation_kind::compare_and_set;
  case verb::incr: return mutation_kind::increment;
  case verb::decr: return mutation_kind::decrement;
  case verb::touch: return mutation_kind::touch;
  case verb::gat:
  case verb::gats: return mutation_kind::get_and_touch;
  case verb::remove: return mutation_kind::remove;
  default: return mutation_kind::set;
  }
}

void add_text(connection_state& st, std::string_view text) {
  slot x;
  x.command = st.next_command++;
  memcache::append(x.text, text);
  st.commands.add(std::move(x), kind::ready);
}

void add_keyed(connection_state& st, slot x) {
  auto hash = key_hash(x.key.view());
  if (x.write)
    st.request_bytes += x.write->value.size();
  st.commands.add(std::move(x), kind::keyed, hash);
}

void add_reads(connection_state& st, memcache::command& c) {
  auto touches = c.op == verb::gat || c.op == verb::gats;
  for (auto& key : c.keys) {
    slot x;
    x.op = c.op;
    x.command = st.next_command;
    x.ends = !c.more && &key == &c.keys.back();
    x.key = std::move(key);
    if (touches) {
      x.write.emplace();
      x.write->kind = mutation_kind::get_and_touch;
      x.write->expires = memcache::absolute_expiry(c.exptime, st.loop->context().wall_clock());
    }
    add_keyed(st, std::move(x));
  }
  st.in_get = c.more;
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
  auto& write = x.write.emplace();
  write.kind = mutation_of(c.op);
  write.flags = c.flags;
  write.expires = memcache::absolute_expiry(c.exptime, st.loop->context().wall_clock());
  write.delta = c.delta;
  write.compare = c.cas;
  write.value = std::move(c.value);
  add_keyed(st, std::move(x));
}

void set_log_level(connection_state& st, const std::string& argument) {
  auto quiet = argument.empty() || argument == "0" || argument == "1";
  st.loop->context().log.set_level(quiet ? log_level::info : log_level::debug);
}

void add_command(connection_state& st, memcache::command& c) {
  switch (c.op) {
  case verb::get:
  case verb::gets:
  case verb::gat:
  case verb::gats: return add_reads(st, c);
  case verb::version: return add_text(st, std::string{"VERSION "} + memcache_version + "\r\n");
  case verb::verbosity:
    set_log_level(st, c.argument);
    return add_text(st, c.noreply ? "" : "OK\r\n");
  case verb::flush_all:
  case verb::stats:
  case verb::quit: {
    slot x;
    x.op = c.op;
    x.noreply = c.noreply;
    x.command = st.next_command++;
    x.argument = std::move(c.argument);
    x.delay = c.exptime;
    st.commands.add(std::move(x), kind::barrier);
    return;
  }
  default: return add_write(st, c);
  }
}

constexpr const char* unauthenticated = "CLIENT_ERROR unauthenticated\r\n";

/// Nothing but authentication is possible before it (memcached's ASCII scheme: `set` any key to
/// "user password").
void authenticate(connection_state& st, const memcache::command& c) {
  if (c.op != verb::set)
    return add_text(st, unauthenticated);
  ++st.loop->count.auth_cmds;
  st.authenticated = st.loop->credentials->accept_text(c.value.view());
  if (!st.authenticated)
    ++st.loop->count.auth_errors;
  if (st.authenticated)
    return add_text(st, "STORED\r\n");
  auto two_words = c.value.view().find(' ') != std::string_view::npos;
  add_text(st, two_words ? "CLIENT_ERROR authentication failure\r\n"
                         : "CLIENT_ERROR bad authentication token format\r\n");
}

void add_error(connection_state& st, memcache::parse_result& x) {
  if (x.status == memcache::parse_status::fatal)
    st.closing = true;
  if (x.error.find("too large") != std::string_view::npos)
    ++st.loop->count.too_large;
  if (x.removes_key && st.authenticated) {
    slot s;
    s.op = verb::remove;
    s.noreply = true;
    s.command = st.next_command++;
    s.key = std::move(x.command.keys.front());
    s.write.emplace();
    s.write->kind = mutation_kind::remove;
    add_keyed(st, std::move(s));
  }
  // Before authentication memcached looks for nothing but a `set` of the right shape.
  if (!st.authenticated && x.status == memcache::parse_status::error) {
    auto unfinished = x.error.find("bad data chunk") != std::string_view::npos;
    return add_text(st,
                    unfinished ? "CLIENT_ERROR bad command line termination\r\n" : unauthenticated);
  }
  // An error in the middle of a get is the end of that get, and counts as its answer.
  st.in_get = false;
  add_text(st, x.error);
}

} // namespace

void take_command(connection_state& st, memcache::parse_result& x) {
  if (x.status != memcache::parse_status::complete)
    add_error(st, x);
  else if (!st.authenticated && x.command.op != verb::quit)
    authenticate(st, x.command);
  else
    add_command(st, x.command);
}

} // namespace kai
