#include "protocol/memcache/text_line.hpp"

#include "protocol/limits.hpp"
#include "protocol/memcache/meta_line.hpp"
#include "protocol/memcache/number.hpp"
#include "protocol/memcache/words.hpp"

namespace kai::memcache {

namespace {

constexpr std::string_view bad_exptime = "CLIENT_ERROR invalid exptime argument\r\n";
constexpr std::string_view bad_delta = "CLIENT_ERROR invalid numeric delta argument\r\n";
constexpr std::string_view delete_usage =
    "CLIENT_ERROR bad command line format.  Usage: delete <key> [noreply]\r\n";

constexpr size_t leading_spaces_max = 100;

line_meaning complete() { return {}; }

line_meaning refuse(std::string_view error) { return {line_kind::error, error, 0, {}}; }

/// memcached looks for it in the last word alone, whatever else that word should have been.
bool take_noreply(const words_of_line& args, command& into) {
  into.noreply = args.last() == "noreply";
  return into.noreply;
}

/// False when the word is too long for a key.
bool take_key(std::string_view word, command& into) {
  if (word.size() > limits::key_bytes_max)
    return false;
  into.keys.push_back(blob::copy_of(word));
  return true;
}

/// memcached keeps the low 32 bits of what it reads into 64.
bool take_exptime(std::string_view word, command& into) {
  auto x = read_signed(word);
  if (x)
    into.exptime = static_cast<int32_t>(*x);
  return x.has_value();
}

line_meaning storage(std::string_view line, command& into) {
  words_of_line args{line};
  size_t required = into.op == verb::cas ? 5 : 4;
  if (args.count != required && args.count != required + 1)
    return refuse(unknown_command);
  take_noreply(args, into);
  if (args[0].size() > limits::key_bytes_max)
    return refuse(bad_format);
  auto flags = read_unsigned(args[1]);
  auto length = read_signed(args[3]);
  if (!flags || !take_exptime(args[2], into) || !length)
    return refuse(bad_format);
  into.flags = static_cast<uint32_t>(*flags);
  if (into.op == verb::cas) {
    auto unique = read_unsigned(args[4]);
    if (!unique)
      return refuse(bad_format);
    into.cas = *unique;
  }
  auto bytes = static_cast<int32_t>(*length);
  if (bytes < 0 || bytes > data_bytes_max)
    return refuse(bad_format);
  take_key(args[0], into);
  return {line_kind::data, {}, static_cast<size_t>(bytes), {}};
}

line_meaning retrieval(std::string_view line, command& into) {
  if (line.find_first_not_of(' ') == std::string_view::npos)
    return refuse(unknown_command);
  if (into.op == verb::gat || into.op == verb::gats)
    if (!take_exptime(take_word(line), into))
      return refuse(bad_exptime);
  return {line_kind::keys, {}, 0, line};
}

line_meaning arithmetic(std::string_view line, command& into) {
  words_of_line args{line};
  if (args.count != 2 && args.count != 3)
    return refuse(unknown_command);
  take_noreply(args, into);
  if (!take_key(args[0], into))
    return refuse(bad_format);
  auto delta = read_unsigned(args[1]);
  if (!delta)
    return refuse(bad_delta);
  into.delta = *delta;
  return complete();
}

line_meaning touch(std::string_view line, command& into) {
  words_of_line args{line};
  if (args.count != 2 && args.count != 3)
    return refuse(unknown_command);
  take_noreply(args, into);
  if (!take_key(args[0], into))
    return refuse(bad_format);
  return take_exptime(args[1], into) ? complete() : refuse(bad_exptime);
}

/// Of the time that `delete` once had behind the key, a plain "0" is left.
line_meaning remove(std::string_view line, command& into) {
  words_of_line args{line};
  if (args.count < 1 || args.count > 3)
    return refuse(unknown_command);
  if (args.count > 1) {
    auto zero = args[1] == "0";
    auto quiet = take_noreply(args, into);
    if (!(args.count == 2 ? zero || quiet : zero && quiet))
      return refuse(delete_usage);
  }
  return take_key(args[0], into) ? complete() : refuse(bad_format);
}

line_meaning flush_all(std::string_view line, command& into) {
  words_of_line args{line};
  if (args.count > 2)
    return refuse(unknown_command);
  auto quiet = take_noreply(args, into);
  if (args.count != (quiet ? 1 : 0) && !take_exptime(args[0], into))
    return refuse(bad_exptime);
  return complete();
}

line_meaning verbosity(std::string_view line, command& into) {
  words_of_line args{line};
  if (args.count != 1 && args.count != 2)
    return refuse(unknown_command);
  take_noreply(args, into);
  auto level = read_unsigned(args[0]);
  if (!level)
    return refuse(bad_format);
  into.argument = std::to_string(static_cast<uint32_t>(*level));
  return complete();
}

line_meaning stats(std::string_view line, command& into) {
  words_of_line args{line};
  for (size_t i = 0; i < args.count; ++i) {
    if (i > 0)
      into.argument += ' ';
    into.argument += args[i];
  }
  return complete();
}

line_meaning no_arguments(std::string_view, command&) { return complete(); }

/// As a memcached without -A.
line_meaning shutdown(std::string_view, command&) {
  return refuse("ERROR: shutdown not enabled\r\n");
}

/// As a memcached without -Z.
line_meaning refresh_certs(std::string_view, command&) {
  return refuse("Error TLS not enabled\r\n");
}

/// Commands about memory that only memcached has.
line_meaning not_here(std::string_view, command&) { return refuse(unknown_command); }

struct entry {
  std::string_view word;
  verb op;
  line_meaning (*read)(std::string_view rest, command& into);
};

/// The frequent ones first: looked for in this order.
constexpr entry vocabulary[] = {
    {"get", verb::get, retrieval},
    {"set", verb::set, storage},
    {"gets", verb::gets, retrieval},
    {"cas", verb::cas, storage},
    {"delete", verb::remove, remove},
    {"incr", verb::incr, arithmetic},
    {"add", verb::add, storage},
    {"touch", verb::touch, touch},
    {"gat", verb::gat, retrieval},
    {"gats", verb::gats, retrieval},
    {"decr", verb::decr, arithmetic},
    {"replace", verb::replace, storage},
    {"append", verb::append, storage},
    {"prepend", verb::prepend, storage},
    {"bget", verb::get, retrieval},
    {"version", verb::version, no_arguments},
    {"stats", verb::stats, stats},
    {"flush_all", verb::flush_all, flush_all},
    {"verbosity", verb::verbosity, verbosity},
    {"quit", verb::quit, no_arguments},
    {"shutdown", verb::quit, shutdown},
    {"refresh_certs", verb::quit, refresh_certs},
    {"lru", verb::quit, not_here},
    {"lru_crawler", verb::quit, not_here},
    {"watch", verb::quit, not_here},
    {"extstore", verb::quit, not_here},
};

/// A web browser, or somebody who makes one send a form, is hung up on; where memcached looks for a
/// word among those with the same first letter, or of two letters, it does not come to ask.
bool speaks_http(std::string_view word, std::string_view rest) {
  if (word.size() < 2 || std::string_view{"gsacidt"}.find(word[0]) != std::string_view::npos ||
      (word[0] == 'm' && word.size() == 2))
    return false;
  words_of_line args{rest};
  return (args.count > 0 ? args.last() : word).starts_with("HTTP/");
}

} // namespace

line_meaning interpret_line(std::string_view line, command& into) {
  // A line is a C string to memcached.
  auto rest = line.substr(0, line.find('\0'));
  auto word = take_word(rest);
  for (const auto& x : vocabulary) {
    if (x.word == word) {
      into.op = x.op;
      return x.read(rest, into);
    }
  }
  if (is_meta_verb(word))
    return interpret_meta(word, rest, into);
  if (speaks_http(word, rest))
    return {line_kind::fatal, {}, 0, {}};
  return refuse(unknown_command);
}

bool starts_endless_get(std::string_view start, command& into, std::string_view& keys) {
  auto first = start.find_first_not_of(' ');
  if (first == std::string_view::npos || first > leading_spaces_max)
    return false;
  start.remove_prefix(first);
  if (!start.starts_with("get ") && !start.starts_with("gets "))
    return false;
  into.op = take_word(start) == "get" ? verb::get : verb::gets;
  keys = start;
  return true;
}

} // namespace kai::memcache
