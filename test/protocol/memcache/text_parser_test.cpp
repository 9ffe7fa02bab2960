#include "protocol/memcache/text_parser.hpp"

#include <array>
#include <functional>
#include <random>
#include <vector>

#include <catch2/catch.hpp>

#include "protocol/limits.hpp"

namespace kai::memcache {

namespace {

constexpr size_t value_bytes_max = 1000;

struct event {
  parse_status status;
  memcache::command command;
  std::string error;
  bool removes_key;

  friend bool operator==(const event&, const event&) = default;
};

/// Everything that comes of `pieces`. Each is fed from a buffer of its own size, so that a
/// sanitizer sees reads behind it.
std::vector<event> parse(const std::vector<std::string_view>& pieces) {
  text_parser parser{value_bytes_max};
  std::vector<event> events;
  parse_result result;
  for (auto piece : pieces) {
    std::vector<char> buffer{piece.begin(), piece.end()};
    parser.feed({buffer.data(), buffer.size()});
    while (parser.next(result) != parse_status::input_pending) {
      events.push_back({result.status, {}, std::string{result.error}, result.removes_key});
      if (result.status == parse_status::complete || result.removes_key)
        events.back().command = std::move(result.command);
      // More results than bytes would be a parser that does not move.
      REQUIRE(events.size() < 1'000'000);
    }
  }
  return events;
}

std::vector<event> parse(std::string_view text) { return parse(std::vector{text}); }

std::vector<std::string_view> cut(std::string_view text, const std::function<size_t()>& length) {
  std::vector<std::string_view> pieces;
  while (!text.empty()) {
    pieces.push_back(text.substr(0, length()));
    text.remove_prefix(pieces.back().size());
  }
  return pieces;
}

command make(verb op, std::initializer_list<std::string_view> keys = {}) {
  command x;
  x.op = op;
  for (auto key : keys)
    x.keys.push_back(blob::copy_of(key));
  return x;
}

command with(command x, const std::function<void(command&)>& change) {
  change(x);
  return x;
}

} // namespace

TEST_CASE("each command becomes a value", "[memcache]") {
  struct row {
    std::string_view text;
    command expected;
  };
  auto value = [](std::string_view text) { return blob::copy_of(text); };
  const row table[] = {
      {"get a\r\n", make(verb::get, {"a"})},
      {"get a b\n", make(verb::get, {"a", "b"})},
      {"gets a\r\n", make(verb::gets, {"a"})},
      {"bget a\r\n", make(verb::get, {"a"})},
      {"gat -5 a b\r\n", with(make(verb::gat, {"a", "b"}), [](auto& x) { x.exptime = -5; })},
      {"gats 7\r\n", with(make(verb::gats), [](auto& x) { x.exptime = 7; })},
      {"set a 3 60 2\r\nxy\r\n", with(make(verb::set, {"a"}),
                                      [&](auto& x) {
                                        x.flags = 3;
                                        x.exptime = 60;
                                        x.value = value("xy");
                                      })},
      {"add a 0 0 0 noreply\r\n\r\n",
       with(make(verb::add, {"a"}), [](auto& x) { x.noreply = true; })},
      {"replace a 0 0 1\r\n\n\r\n",
       with(make(verb::replace, {"a"}), [&](auto& x) { x.value = value("\n"); })},
      {"append a 0 0 1\r\nx\r\n",
       with(make(verb::append, {"a"}), [&](auto& x) { x.value = value("x"); })},
      {"prepend a 0 0 1\r\nx\r\n",
       with(make(verb::prepend, {"a"}), [&](auto& x) { x.value = value("x"); })},
      {"cas a 0 0 1 99\r\nx\r\n", with(make(verb::cas, {"a"}),
                                       [&](auto& x) {
                                         x.cas = 99;
                                         x.value = value("x");
                                       })},
      {"incr a 5\r\n", with(make(verb::incr, {"a"}), [](auto& x) { x.delta = 5; })},
      {"decr a 18446744073709551615 noreply\r\n", with(make(verb::decr, {"a"}),
                                                       [](auto& x) {
                                                         x.delta = UINT64_MAX;
                                                         x.noreply = true;
                                                       })},
      {"touch a 4294967295\r\n", with(make(verb::touch, {"a"}), [](auto& x) { x.exptime = -1; })},
      {"delete a\r\n", make(verb::remove, {"a"})},
      {"delete a 0 noreply\r\n",
       with(make(verb::remove, {"a"}), [](auto& x) { x.noreply = true; })},
      {"flush_all\r\n", make(verb::flush_all)},
      {"flush_all 30 noreply\r\n", with(make(verb::flush_all),
                                        [](auto& x) {
                                          x.exptime = 30;
                                          x.noreply = true;
                                        })},
      {"verbosity 2\r\n", with(make(verb::verbosity), [](auto& x) { x.argument = "2"; })},
      {"version\r\n", make(verb::version)},
      {"stats\r\n", make(verb::stats)},
      {"stats  detail   on \r\n",
       with(make(verb::stats), [](auto& x) { x.argument = "detail on"; })},
      {"quit\r\n", make(verb::quit)},
  };
  for (const auto& x : table) {
    INFO(x.text);
    auto events = parse(x.text);
    REQUIRE(events.size() == 1);
    CHECK(events[0].status == parse_status::complete);
    CHECK(events[0].command == x.expected);
    CHECK(events[0].error.empty());
  }
}

TEST_CASE("a result that was used before has nothing left of it", "[memcache]") {
  text_parser parser{value_bytes_max};
  parse_result result;
  parser.feed("cas a 1 2 1 3 noreply\r\nx\r\nstats a\r\nincr a 4\r\nfoo\r\nversion\r\n");
  for (int i = 0; i < 3; ++i)
    REQUIRE(parser.next(result) == parse_status::complete);
  REQUIRE(parser.next(result) == parse_status::error);
  REQUIRE(parser.next(result) == parse_status::complete);
  CHECK(result.command == make(verb::version));
  CHECK(result.error.empty());
  CHECK(parser.next(result) == parse_status::input_pending);
}

TEST_CASE("a value above the limit is swallowed and then refused", "[memcache]") {
  std::string big(value_bytes_max + 1, 'x');
  auto length = std::to_string(big.size());
  auto events = parse("add a 0 0 " + length + "\r\n" + big + "\r\nversion\r\n");
  REQUIRE(events.size() == 2);
  CHECK(events[0].error == "SERVER_ERROR object too large for cache\r\n");
  CHECK_FALSE(events[0].removes_key);
  CHECK(events[1].command == make(verb::version));

  auto silent_remove = with(make(verb::remove, {"a"}), [](auto& x) { x.noreply = true; });
  events = parse("set a 9 9 " + length + "\r\n" + big + "\r\nset a 0 0 " + length + " noreply\r\n" +
                 big + "\r\n");
  REQUIRE(events.size() == 2);
  for (const auto& x : events) {
    CHECK(x.status == parse_status::error);
    CHECK(x.removes_key);
    CHECK(x.command == silent_remove);
  }
  CHECK(events[0].error == "SERVER_ERROR object too large for cache\r\n");
  CHECK(events[1].error.empty());

  CHECK(parse("set a 0 0 " + length + "\r\n" + big + "\r").empty());
  big.pop_back();
  events = parse("set a 0 0 " + std::to_string(big.size()) + "\r\n" + big + "\r\n");
  REQUIRE(events.size() == 1);
  CHECK(events[0].command.value.view() == big);
}

TEST_CASE("a line without an end closes the connection behind the limit", "[memcache]") {
  auto limit = limits::command_line_bytes_max;
  CHECK(parse(std::string(limit, 'x')).empty());
  CHECK(parse({std::string(limit, 'x'), "\r\n"}).at(0).error == "ERROR\r\n");
  for (std::string_view start : {"x", "gat 0 ", "bget ", "get\t", "getx "}) {
    INFO(start);
    auto line = std::string{start} + std::string(limit, 'x');
    auto events = parse({line, "\r\n", "version\r\n"});
    REQUIRE(events.size() == 1);
    CHECK(events[0].status == parse_status::fatal);
    CHECK(events[0].error.empty());
  }
  // One that comes with its end may be as long as a read.
  auto longest = std::string(limits::command_line_at_once_bytes_max - 1, 'x');
  CHECK(parse(longest + '\n').at(0).error == "ERROR\r\n");
  CHECK(parse('x' + longest + '\n').at(0).status == parse_status::fatal);
}

TEST_CASE("nothing is read behind quit", "[memcache]") {
  auto events = parse({"quit\r\nversion\r\n", "version\r\n", "set a 0 0 1\r\n"});
  REQUIRE(events.size() == 1);
  CHECK(events[0].command.op == verb::quit);
}

TEST_CASE("only get and gets may go on for ever, behind few spaces", "[memcache]") {
  std::string keys;
  for (int i = 0; i < 2000; ++i)
    keys += "zz ";
  for (const auto& start :
       std::vector<std::string>{"get ", "gets ", " get ", std::string(100, ' ') + "get "}) {
    auto events = parse({start + keys, "\r\n"});
    REQUIRE(events.size() == 1 + 2000 / limits::keys_per_command_max);
    size_t count = 0;
    for (const auto& x : events) {
      CHECK(x.command.more == (&x != &events.back()));
      count += x.command.keys.size();
    }
    CHECK(count == 2000);
  }
  CHECK(parse({std::string(101, ' ') + "get " + keys, "\r\n"}).at(0).status == parse_status::fatal);
  CHECK(parse({"get " + std::string(5000, ' '), "\r\n"}).at(0).error == "ERROR\r\n");
  CHECK(parse({"get " + std::string(5000, ' '), "b\r", "\n"}).at(0).command ==
        make(verb::get, {"b"}));
}

TEST_CASE("pieces of a gat carry its exptime", "[memcache]") {
  std::string line = "gat 77";
  for (size_t i = 0; i < limits::keys_per_command_max + 1; ++i)
    line += " k";
  auto events = parse(line + "\r\n");
  REQUIRE(events.size() == 2);
  CHECK(events[0].command.more);
  CHECK(events[1].command == with(make(verb::gat, {"k"}), [](auto& x) { x.exptime = 77; }));
}

TEST_CASE("a key that is too long ends an endless get with an error", "[memcache]") {
  std::string key(251, 'k');
  auto lines = {"get " + key + std::string(5000, 'z'), "get " + std::string(3000, ' ') + key + ' ',
                "get a " + std::string(3000, ' ') + key + " b"};
  for (const auto& line : lines) {
    for (size_t n : {1, 100, 2049, 20'000}) {
      auto text = line + "\r\nversion\r\n";
      auto events = parse(cut(text, [&] { return n; }));
      REQUIRE(events.size() == 2);
      CHECK(events[0].error == "CLIENT_ERROR bad command line format\r\n");
      CHECK(events[1].command == make(verb::version));
    }
  }
  // Behind keys that went out already the line ends with the error in the place of its END.
  std::string keys;
  for (int i = 0; i < 2000; ++i)
    keys += "zz ";
  auto events = parse({"get " + keys, key + " b\r\nversion\r\n"});
  REQUIRE(events.size() > 2);
  CHECK(events[events.size() - 3].command.more);
  CHECK(events[events.size() - 2].error == "CLIENT_ERROR bad command line format\r\n");
  CHECK(events.back().command == make(verb::version));
}

TEST_CASE("a NUL ends an endless get early, wherever reads end", "[memcache]") {
  auto text = "get " + std::string(3000, ' ') + "a bb" + std::string(1, '\0') + "cc dd " +
              std::string(300, 'x') + "\r\nversion\r\n";
  for (size_t n : {1, 2, 3, 2500, 3005, 3008, 3009, 3010, 20'000}) {
    INFO(n);
    auto events = parse(cut(text, [&] { return n; }));
    REQUIRE(events.size() == 2);
    CHECK(events[0].command == make(verb::get, {"a", "bb"}));
  }
}

namespace {

/// Lines of words that are commands, or nearly, and data blocks that fit, or nearly.
std::string random_stream(std::mt19937_64& random) {
  static const std::vector<std::string> verbs = {
      "get",   "gets", "gat",     "gats",     "set",    "add",       "replace", "append",
      "cas",   "incr", "decr",    "touch",    "delete", "flush_all", "version", "verbosity",
      "stats", "bget", "prepend", "shutdown", "foo",    "POST",      "Get"};
  static const std::vector<std::string> words = {
      "a",    "key", "0",  "1",   "5",  "noreply", "-1", "4294967297", "999",
      "1001", "x y", "\t", "7\t", "\r", "",        " ",  "HTTP/1",     "18446744073709551616"};
  auto pick = [&](const auto& from) { return from[random() % from.size()]; };
  std::string out;
  for (int line = 0; line < 30; ++line) {
    auto verb = pick(verbs);
    auto count = random() % 7;
    if (verb == "POST" && random() % 10 != 0)
      continue;
    out += verb;
    if (random() % 3 == 0) {
      auto bytes = random() % 1100;
      auto data = bytes + (random() % 8 == 0 ? random() % 3 : 0);
      out += " key " + std::to_string(random() % 9) + " 0 " + std::to_string(bytes) + " noreply";
      out.resize(out.size() - (random() % 2 == 0 ? 8 : 0));
      out += "\r\n" + std::string(data, 'v');
    } else {
      for (; count > 0; --count)
        out += ' ' + (random() % 20 == 0 ? std::string(249 + random() % 3, 'k') : pick(words));
    }
    if (random() % 20 == 0)
      out += '\0';
    out += random() % 5 == 0 ? "\n" : "\r\n";
  }
  return out;
}

} // namespace

TEST_CASE("how the bytes arrive does not change what is read", "[memcache]") {
  for (uint64_t seed = 1; seed <= 150; ++seed) {
    INFO("seed " << seed);
    std::mt19937_64 random{seed};
    auto text = random_stream(random);
    auto at_once = parse(text);
    REQUIRE(parse(cut(text, [] { return 1; })) == at_once);
    for (size_t longest : {2, 10, 100, 1000})
      REQUIRE(parse(cut(text, [&] { return 1 + random() % longest; })) == at_once);
  }
}

TEST_CASE("garbage is read without harm", "[memcache]") {
  for (uint64_t seed = 1; seed <= 300; ++seed) {
    INFO("seed " << seed);
    std::mt19937_64 random{seed};
    // Half of them bytes of any kind, half of the kinds that mean something.
    constexpr auto telling = std::to_array("get set 0123456789 -\r\n\r\n \t\0gacsid noreply");
    std::string text(1 + random() % 6000, '\0');
    for (auto& x : text)
      x = seed % 2 == 0 ? static_cast<char>(random()) : telling[random() % telling.size()];
    if (seed % 3 == 0)
      text.insert(0, "get ");
    auto events = parse(cut(text, [&] { return 1 + random() % 3000; }));
    // An event takes a line, or the keys of a piece.
    CHECK(events.size() <= text.size());
  }
}

TEST_CASE("while a client has to authenticate a line is its credentials or an error",
          "[memcache]") {
  text_parser parser{value_bytes_max};
  parser.require_authentication(true);
  parse_result result;
  auto next = [&](std::string_view text) {
    parser.feed(text);
    return parser.next(result);
  };
  for (auto text : {"get a\r\n", "quit\r\n", "add k 0 0 100\r\n", "ms k 100\r\n", "\r\n",
                    "add k 0 0 100 noreply\r\n", "set k 0 0\r\n", "set k 0 0 x\r\n"}) {
    INFO(text);
    REQUIRE(next(text) == parse_status::error);
    CHECK(result.error == unauthenticated);
    REQUIRE(parser.next(result) == parse_status::input_pending);
  }
  REQUIRE(next("get" + std::string(600, ' ') + "k\r\n") == parse_status::error);
  REQUIRE(parser.next(result) == parse_status::input_pending);
  REQUIRE(next("set a b c 3 d e\r\nx y\r\n") == parse_status::complete);
  CHECK(result.command.op == verb::set);
  CHECK(result.command.value.view() == "x y");
  REQUIRE(next("set a 0 0 3\r\nx yzz") == parse_status::error);
  CHECK(result.error == bad_termination);
  // Longer than any: swallowed, and it takes no value along.
  REQUIRE(next("set a 0 0 5000\r\n" + std::string(5002, 'x')) == parse_status::error);
  CHECK(result.error == unauthenticated);
  CHECK_FALSE(result.removes_key);
  parser.require_authentication(false);
  REQUIRE(next("add k 0 0 1\r\nx\r\n") == parse_status::complete);
  CHECK(result.command.op == verb::add);
}

TEST_CASE("no line of a client that has to authenticate may be endless", "[memcache]") {
  text_parser parser{value_bytes_max};
  parser.require_authentication(true);
  parse_result result;
  auto line = "get" + std::string(limits::command_line_bytes_max, 'k');
  parser.feed(line);
  CHECK(parser.next(result) == parse_status::fatal);
}

} // namespace kai::memcache
