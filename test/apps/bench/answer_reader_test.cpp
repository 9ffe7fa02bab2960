#include "apps/bench/answer_reader.hpp"

#include <catch2/catch.hpp>

#include "apps/bench/limits.hpp"

using namespace kai::bench;

namespace {

// Writes down what it is told, as text.
struct notes : answer_sink {
  std::string text;
  int answers_left = 1000;

  void value_begin(std::string_view key, uint64_t bytes) override {
    text += "[" + std::string{key} + " " + std::to_string(bytes) + ":";
  }
  void value_piece(std::string_view piece) override { text += piece; }
  void value_end() override { text += "]"; }
  bool answered(outcome how, std::string_view line) override {
    constexpr const char* names[] = {"hit", "miss", "stored", "refused"};
    text += std::string{names[static_cast<int>(how)]} +
            (how == outcome::refused ? "(" + std::string{line} + ") " : " ");
    return --answers_left >= 0;
  }
};

// What is read must not depend on where the stream is cut.
std::string read(protocol_kind protocol, std::string_view bytes) {
  std::string expected;
  for (size_t step = 1; step <= bytes.size(); ++step) {
    answer_reader reader{protocol};
    notes sink;
    for (size_t at = 0; at < bytes.size(); at += step) {
      if (!reader.feed(bytes.substr(at, step), sink)) {
        sink.text += "broken";
        break;
      }
    }
    if (step == 1)
      expected = sink.text;
    INFO("in pieces of " << step);
    REQUIRE(sink.text == expected);
  }
  return expected;
}

} // namespace

TEST_CASE("text answers are read however the stream is cut") {
  CHECK(read(protocol_kind::text, "VALUE k 0 5\r\nhello\r\nEND\r\nEND\r\nSTORED\r\n") ==
        "[k 5:hello]hit miss stored ");
  CHECK(read(protocol_kind::text, "VALUE k 0 0\r\n\r\nEND\r\n") == "[k 0:]hit ");
  CHECK(read(protocol_kind::text, "VALUE k 3 4 77\r\n\r\n\r\n\r\nEND\r\n") == "[k 4:\r\n\r\n]hit ");
}

TEST_CASE("siblings are several values of one answer") {
  CHECK(read(protocol_kind::text, "VALUE k 0 1\r\na\r\nVALUE k 0 1\r\nb\r\nEND\r\nEND\r\n") ==
        "[k 1:a][k 1:b]hit miss ");
}

TEST_CASE("an error line ends the request that it answers") {
  CHECK(read(protocol_kind::text, "SERVER_ERROR 1 of 3\r\nSTORED\r\n") ==
        "refused(SERVER_ERROR 1 of 3) stored ");
  CHECK(read(protocol_kind::text, "VALUE k 0 1\r\na\r\nSERVER_ERROR x\r\nEND\r\n") ==
        "[k 1:a]refused(SERVER_ERROR x) miss ");
}

TEST_CASE("meta answers are read however the stream is cut") {
  CHECK(read(protocol_kind::meta, "VA 2 f0\r\nab\r\nEN\r\nHD\r\nNS\r\nVA 0\r\n\r\n") ==
        "[ 2:ab]hit miss stored refused(NS) [ 0:]hit ");
}

TEST_CASE("what is not memcache breaks the connection") {
  CHECK(read(protocol_kind::text, "VALUE k 0 x\r\n") == "broken");
  CHECK(read(protocol_kind::text, "VALUE k 0 1\r\nab\r\n") == "[k 1:abroken");
  CHECK(read(protocol_kind::text, "END\n") == "broken");
  CHECK(read(protocol_kind::meta, "VA\r\n") == "broken");
  answer_reader reader{protocol_kind::text};
  notes sink;
  CHECK_FALSE(reader.feed(std::string(limits::answer_line_bytes_max + 1, 'x'), sink));
}

TEST_CASE("a reader stops when its sink does, and begins anew after a reset") {
  answer_reader reader{protocol_kind::text};
  notes sink;
  sink.answers_left = 1;
  CHECK_FALSE(reader.feed("END\r\nEND\r\nEND\r\n", sink));
  CHECK(sink.text == "miss miss ");
  CHECK(reader.feed("VALUE k 0 10\r\nabc", sink));
  reader.reset();
  sink.answers_left = 1;
  sink.text.clear();
  CHECK(reader.feed("END\r\n", sink));
  CHECK(sink.text == "miss ");
}
