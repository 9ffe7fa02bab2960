#include "actors/log.hpp"

#include <catch2/catch.hpp>

#include "protocol/limits.hpp"

using namespace kai;

TEST_CASE("a line of the log stays one line, whatever it is about") {
  CHECK(one_line("key \"a\r\nb\" \x1b[2J") == "key \"a\\x0d\\x0ab\" \\x1b[2J");
  CHECK(one_line("caf\xc3\xa9") == "caf\xc3\xa9");
  CHECK(one_line(std::string(1'000'000, 'x')).size() == limits::log_line_bytes_max + 3);
}

TEST_CASE("the level of a logger changes for all of its copies, and for no other") {
  logger a{"n1"};
  logger b{"n2"};
  auto copy = a;
  CHECK(a.level() == log_level::info);
  copy.set_level(log_level::debug);
  CHECK(a.enabled(log_level::debug));
  CHECK_FALSE(b.enabled(log_level::debug));
  a.set_level(log_level::error);
  CHECK_FALSE(copy.enabled(log_level::warning));
  CHECK(copy.enabled(log_level::error));
}
