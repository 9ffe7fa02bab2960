#include "apps/admin_command.hpp"

#include <catch2/catch.hpp>

#include "protocol/errc.hpp"

using namespace kai;

TEST_CASE("kai-admin's options stand before and after the command") {
  auto x = read_admin_arguments({"--node=[::1]:7", "locate", "--json", "a key", "--timeout=90s"});
  REQUIRE(x);
  CHECK(x->node.host == "::1");
  CHECK(x->node.port == 7);
  CHECK(x->command == "locate");
  CHECK(x->arguments == std::vector<std::string>{"a key"});
  CHECK(x->json);
  CHECK(x->timeout == std::chrono::seconds{90});
  auto plain = read_admin_arguments({"status"});
  REQUIRE(plain);
  CHECK(plain->node.port == 11011);
  CHECK(plain->timeout == std::chrono::seconds{30});
  CHECK_FALSE(plain->json);
}

TEST_CASE("after two dashes a key may look like an option") {
  auto x = read_admin_arguments({"locate", "--", "--json"});
  REQUIRE(x);
  CHECK(x->arguments == std::vector<std::string>{"--json"});
  CHECK_FALSE(x->json);
}

TEST_CASE("kai-admin used wrongly says what is wrong") {
  using list = std::vector<std::string>;
  const std::vector<std::pair<list, std::string>> cases{
      {{}, "the command is missing"},
      {{"--json"}, "the command is missing"},
      {{"stat"}, "\"stat\" is no command"},
      {{"status", "x"}, "status: stray argument \"x\""},
      {{"locate"}, "locate: KEY is missing"},
      {{"locate", ""}, "locate: an argument is empty"},
      {{"locate", std::string(251, 'k')}, "at most 250 bytes"},
      {{"leave"}, "leave: NAME is missing"},
      {{"remove", "a", "b"}, "remove: stray argument \"b\""},
      {{"plan"}, "plan: CHANGE is missing"},
      {{"plan", "leave"}, "plan leave: NAME is missing"},
      {{"plan", "join"}, "plan join: HOST:PORT is missing"},
      {{"plan", "grow"}, "plan: \"grow\" is not one of leave, remove, join"},
      {{"--node", "a:1", "status"}, "--node: its value is missing: --node=VALUE"},
      {{"--timeout", "1s", "status"}, "--timeout: its value is missing: --timeout=VALUE"},
      {{"plan", "grow", "a"}, "plan: \"grow\" is not one of leave, remove, join"},
      {{"plan", "join", "a"}, "plan join: \"a\" is not HOST:PORT"},
      {{"--node=a", "status"}, "--node: \"a\" is not HOST:PORT"},
      {{"--node=a:0", "status"}, "--node: \"a:0\" has port 0"},
      {{"--node=a:65536", "status"}, "--node: "},
      {{"--timeout=5", "status"}, "--timeout: \"5\" is not a duration"},
      {{"--timeout=0s", "status"}, "--timeout: out of range"},
      {{"--timeout=25h", "status"}, "--timeout: out of range"},
      {{"--verbose", "status"}, "--verbose: there is no such option"}};
  for (auto& [arguments, message] : cases) {
    INFO(caf::deep_to_string(arguments));
    auto x = read_admin_arguments(arguments);
    REQUIRE_FALSE(x);
    CHECK(x.error() == errc::bad_configuration);
    CHECK_THAT(message_of(x.error()), Catch::Contains(message));
  }
}

TEST_CASE("kai-admin's help names every command") {
  auto x = read_admin_arguments({"--help", "nonsense"});
  REQUIRE(x);
  for (auto name : {"status", "ring", "locate", "wait-settled", "plan", "leave", "remove"})
    CHECK_THAT(x->text, Catch::Contains(name));
}
