#include "protocol/memcache/binary_parser.hpp"

#include <random>
#include <vector>

#include <catch2/catch.hpp>

#include "protocol/limits.hpp"
#include "test/protocol/memcache/packets.hpp"

namespace kai::memcache::test {

namespace {

constexpr size_t value_bytes_max = 1000;

struct event {
  parse_status status;
  memcache::command command;
  binary_status code;
  bool removes_key;

  friend bool operator==(const event&, const event&) = default;
};

/// Everything that comes of `bytes` when they arrive in pieces of the lengths that `length` gives.
template <class Length>
std::vector<event> parse(std::string_view bytes, Length length) {
  binary_parser parser{value_bytes_max};
  std::vector<event> events;
  parse_result result;
  while (!bytes.empty()) {
    // A buffer of its own size, so that a sanitizer sees reads behind it.
    std::vector<char> piece{bytes.begin(), bytes.begin() + std::min(length(), bytes.size())};
    bytes.remove_prefix(piece.size());
    parser.feed({piece.data(), piece.size()});
    while (parser.next(result) != parse_status::input_pending)
      events.push_back(
          {result.status, std::move(result.command), result.status_code, result.removes_key});
  }
  return events;
}

std::vector<event> parse(std::string_view bytes) {
  return parse(bytes, [&] { return bytes.size(); });
}

command parse_one(const packet& x) {
  auto events = parse(x.bytes());
  REQUIRE(events.size() == 1);
  REQUIRE(events[0].status == parse_status::complete);
  CHECK(events[0].command.form.through == codec::binary);
  CHECK(events[0].command.form.opcode == x.opcode);
  CHECK(events[0].command.form.opaque == x.opaque);
  return events[0].command;
}

/// Packets of every kind, good and bad, that do not close the connection.
std::string random_stream(std::mt19937_64& random) {
  std::string bytes;
  for (int i = 0; i < 40; ++i) {
    packet x;
    x.opcode = static_cast<uint8_t>(random() % 0x28);
    x.opaque = static_cast<uint32_t>(random());
    x.cas = random() % 3 == 0 ? random() : 0;
    auto code = x.opcode;
    auto stores = (code >= 1 && code <= 3) || (code >= 0x11 && code <= 0x13);
    auto counts = code == 5 || code == 6 || code == 0x15 || code == 0x16;
    auto touches = (code >= 0x1c && code <= 0x1e) || code == 0x23 || code == 0x24;
    auto bare = code == 7 || code == 8 || code == 0x0a || code == 0x0b || code == 0x17 ||
                code == 0x18 || code == 0x20;
    if (code == 7 || code == 0x17)
      continue;
    x.extras.assign(stores ? 8 : counts ? 20 : touches ? 4 : 0, '\1');
    if (!bare)
      x.key.assign(1 + random() % 250, 'k');
    if (stores || code == 0x0e || code == 0x0f)
      x.value.assign(random() % 1200, 'v');
    bytes += x.bytes();
  }
  return bytes;
}

} // namespace

TEST_CASE("each opcode of the binary protocol is a command", "[memcache]") {
  struct row {
    uint8_t opcode;
    verb op;
    bool quiet;
    size_t extras;
    bool key;
  };
  const row rows[] = {
      {0x00, verb::get, false, 0, true},        {0x01, verb::set, false, 8, true},
      {0x02, verb::add, false, 8, true},        {0x03, verb::replace, false, 8, true},
      {0x04, verb::remove, false, 0, true},     {0x05, verb::incr, false, 20, true},
      {0x06, verb::decr, false, 20, true},      {0x07, verb::quit, false, 0, false},
      {0x08, verb::flush_all, false, 0, false}, {0x08, verb::flush_all, false, 4, false},
      {0x09, verb::get, true, 0, true},         {0x0a, verb::noop, false, 0, false},
      {0x0b, verb::version, false, 0, false},   {0x0c, verb::get, false, 0, true},
      {0x0d, verb::get, true, 0, true},         {0x0e, verb::append, false, 0, true},
      {0x0f, verb::prepend, false, 0, true},    {0x10, verb::stats, false, 0, false},
      {0x11, verb::set, true, 8, true},         {0x12, verb::add, true, 8, true},
      {0x13, verb::replace, true, 8, true},     {0x14, verb::remove, true, 0, true},
      {0x15, verb::incr, true, 20, true},       {0x16, verb::decr, true, 20, true},
      {0x17, verb::quit, true, 0, false},       {0x18, verb::flush_all, true, 4, false},
      {0x19, verb::append, true, 0, true},      {0x1a, verb::prepend, true, 0, true},
      {0x1c, verb::touch, false, 4, true},      {0x1d, verb::gat, false, 4, true},
      {0x1e, verb::gat, true, 4, true},         {0x20, verb::sasl_mechanisms, false, 0, false},
      {0x21, verb::sasl_start, false, 0, true}, {0x22, verb::sasl_step, false, 0, true},
      {0x23, verb::gat, false, 4, true},        {0x24, verb::gat, true, 4, true},
  };
  for (auto& row : rows) {
    INFO(int{row.opcode});
    packet x{row.opcode, std::string(row.extras, '\0'), row.key ? "key" : "", {}, 99};
    auto c = parse_one(x);
    CHECK(c.op == row.op);
    CHECK(c.form.quiet == row.quiet);
    CHECK(c.keys.size() == (row.key ? 1 : 0));
    // Extras of another length, a missing key and a value too many close the connection.
    auto refused = x;
    refused.extras += '\0';
    auto events = parse(refused.bytes());
    REQUIRE(events.size() == 1);
    CHECK(events[0].status == parse_status::fatal);
    CHECK(events[0].code == binary_status::invalid_arguments);
  }
}

TEST_CASE("extras, cas and value of binary packets arrive", "[memcache]") {
  auto set = parse_one({0x01, big32(7) + big32(1000), "k", "value", 1});
  CHECK(set.flags == 7);
  CHECK(set.exptime == 1000);
  CHECK(set.value.view() == "value");
  CHECK(set.keys[0].view() == "k");
  for (uint8_t opcode : {0x01, 0x02, 0x03}) {
    auto cas = parse_one({opcode, big32(0) + big32(0), "k", "", 1, 77});
    CHECK(cas.op == verb::cas);
    CHECK(cas.cas == 77);
  }
  auto incr = parse_one({0x05, big64(3) + big64(10) + big32(60), "k"});
  CHECK(incr.delta == 3);
  CHECK(incr.extras.initial == 10);
  CHECK(incr.extras.vivify == 60);
  auto only_there = parse_one({0x06, big64(3) + big64(10) + big32(0xffffffff), "k"});
  CHECK_FALSE(only_there.extras.vivify.has_value());
  CHECK(parse_one({0x0e, {}, "k", "tail", 1, 5}).cas == 5);
  CHECK(parse_one({0x10, {}, "settings"}).argument == "settings");
  CHECK(parse_one({0x08, big32(30)}).exptime == 30);
  // Above what the text protocol can say.
  CHECK(parse_one({0x1c, big32(0xffffffff), "k"}).exptime == 0xffffffff);
}

TEST_CASE("binary packets that contradict themselves close the connection", "[memcache]") {
  auto first_of = [](std::string_view bytes) {
    auto events = parse(bytes);
    REQUIRE(events.size() == 1);
    return events[0];
  };
  packet get{0x00, {}, "k"};
  auto header = get.header();
  header.body_bytes = 0;
  CHECK(parse(bytes_of(header)).empty());
  CHECK(first_of(bytes_of(header) + "k").code == binary_status::unknown_command);
  CHECK(first_of(bytes_of(header) + "k").status == parse_status::fatal);
  auto magic = get.bytes();
  magic[0] = '\x81';
  CHECK(first_of(magic).status == parse_status::fatal);
  CHECK(first_of(magic).code == binary_status::success);
  packet long_key{0x00, {}, std::string(251, 'k')};
  CHECK(first_of(long_key.bytes()).code == binary_status::invalid_arguments);
  // Nothing behind it counts.
  CHECK(parse(magic + get.bytes()).size() == 1);
}

TEST_CASE("an unknown binary command and a value that is too large are swallowed", "[memcache]") {
  packet noop{0x0a, {}, {}, {}, 5};
  auto unknown = parse(packet{0x1b, big32(1), "key", "value", 4}.bytes() + noop.bytes());
  REQUIRE(unknown.size() == 2);
  CHECK(unknown[0].code == binary_status::unknown_command);
  CHECK(unknown[0].command.form.opaque == 4);
  CHECK(unknown[1].command.op == verb::noop);
  for (uint8_t opcode : {0x01, 0x02, 0x11, 0x0e}) {
    auto stores = opcode != 0x0e;
    packet large{opcode, std::string(stores ? 8 : 0, '\0'), "k", std::string(1001, 'v'), 6};
    auto events = parse(large.bytes() + noop.bytes());
    REQUIRE(events.size() == 2);
    CHECK(events[0].code == binary_status::too_large);
    CHECK(events[0].removes_key == (opcode == 0x01 || opcode == 0x11));
    CHECK(events[0].command.form.opaque == 6);
    CHECK(events[1].command.op == verb::noop);
  }
  packet fits{0x01, std::string(8, '\0'), "k", std::string(1000, 'v')};
  CHECK(parse_one(fits).value.size() == 1000);
}

TEST_CASE("binary commands do not depend on how their bytes arrive", "[memcache]") {
  std::mt19937_64 random{0x80};
  for (int i = 0; i < 200; ++i) {
    INFO(i);
    auto bytes = random_stream(random);
    auto whole = parse(bytes);
    CHECK(parse(bytes, [] { return size_t{1}; }) == whole);
    CHECK(parse(bytes, [&] { return 1 + random() % 60; }) == whole);
  }
}

TEST_CASE("random bytes never lead a binary parser astray", "[memcache]") {
  std::mt19937_64 random{0x81};
  for (int i = 0; i < 2000; ++i) {
    auto bytes = random_stream(random).substr(0, 2000);
    for (int flips = 0; flips < 5 && !bytes.empty(); ++flips)
      bytes[random() % bytes.size()] = static_cast<char>(random());
    for (auto& x : parse(bytes, [&] { return 1 + random() % 100; })) {
      CHECK(x.command.value.size() <= value_bytes_max + limits::sasl_bytes_max);
      for (auto& key : x.command.keys)
        CHECK(key.size() <= limits::key_bytes_max);
    }
  }
}

TEST_CASE("while a client has to authenticate nothing else is read to its end", "[memcache]") {
  auto first = [](const packet& x) {
    binary_parser parser{value_bytes_max};
    parser.require_authentication(true);
    // The value does not come.
    auto bytes = x.bytes();
    bytes.resize(bytes.size() - x.value.size());
    parser.feed(bytes);
    parse_result result;
    parser.next(result);
    return result;
  };
  for (uint8_t opcode : {0x01, 0x00, 0x07, 0x0a, 0x30}) {
    auto found =
        first({.opcode = opcode, .extras = std::string(8, '\0'), .key = "k", .value = "v"});
    INFO("opcode " << int{opcode});
    CHECK(found.status == parse_status::fatal);
    CHECK(found.status_code == binary_status::auth_error);
    CHECK(found.command.form.opcode == opcode);
  }
  CHECK(first({.opcode = 0x0b}).command.op == verb::version);
  CHECK(first({.opcode = 0x20}).command.op == verb::sasl_mechanisms);
  CHECK(first({.opcode = 0x21, .key = "PLAIN"}).command.op == verb::sasl_start);
}

} // namespace kai::memcache::test
