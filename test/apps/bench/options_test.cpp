#include "apps/bench/options.hpp"

#include <catch2/catch.hpp>

#include "apps/bench/units.hpp"
#include "protocol/errc.hpp"

using namespace kai::bench;
using namespace std::chrono_literals;

namespace {

std::string error_of(const std::vector<std::string>& arguments) {
  auto line = parse_command_line(arguments);
  return line ? "" : kai::message_of(line.error());
}

} // namespace

TEST_CASE("kai-bench without options measures the usual load on the usual port") {
  auto line = parse_command_line({});
  REQUIRE(line);
  CHECK(line->run.connections == 50);
  CHECK(line->run.get_ratio == 0.8);
  CHECK(line->run.duration == 10s);
  CHECK(line->run.label == "127.0.0.1:11211");
}

TEST_CASE("kai-bench takes every option") {
  auto line = parse_command_line({"--servers=a:1,[::1]:2",
                                  "--protocol=meta",
                                  "--threads=2",
                                  "--connections=4",
                                  "--pipeline=16",
                                  "--get-ratio=0.5",
                                  "--keys=7",
                                  "--key-prefix=p",
                                  "--distribution=zipf",
                                  "--zipf-theta=1.2",
                                  "--value-size=100-2k",
                                  "--duration=500ms",
                                  "--warmup=0s",
                                  "--timeout=1min",
                                  "--rate=1000",
                                  "--preload",
                                  "--verify",
                                  "--seed=9",
                                  "--label=x",
                                  "--json=-",
                                  "--report=r.html",
                                  "--quiet"});
  REQUIRE(line);
  const auto& run = line->run;
  REQUIRE(run.servers.size() == 2);
  CHECK(run.servers[1].host == "::1");
  CHECK(to_string(run.servers[1]) == "[::1]:2");
  CHECK(run.protocol == protocol_kind::meta);
  CHECK(run.threads == 2);
  CHECK(run.pipeline == 16);
  CHECK(run.distribution == distribution_kind::zipf);
  CHECK(run.zipf_theta == 1.2);
  CHECK(run.value_bytes_min == 100);
  CHECK(run.value_bytes_max == 2048);
  CHECK(run.duration == 500ms);
  CHECK(run.warmup == 0s);
  CHECK(run.timeout == 60s);
  CHECK(run.rate == 1000);
  CHECK(run.preload);
  CHECK(run.verify);
  CHECK(line->json_file == "-");
  CHECK(line->html_file == "r.html");
  CHECK(line->quiet);
}

TEST_CASE("an error names the option and says what it takes") {
  CHECK_THAT(error_of({"--keys=0"}), Catch::StartsWith("--keys: '0' is not a number from 1"));
  CHECK_THAT(error_of({"--keyz=1"}), Catch::StartsWith("--keyz: no such option"));
  CHECK_THAT(error_of({"--rate"}), Catch::StartsWith("--rate: needs a value"));
  CHECK_THAT(error_of({"--verify=1"}), Catch::StartsWith("--verify: takes no value"));
  CHECK_THAT(error_of({"--protocol=binary"}), Catch::Contains("not text or meta"));
  CHECK_THAT(error_of({"--servers=a"}), Catch::StartsWith("--servers: 'a' is not HOST:PORT"));
  for (auto text : {"--servers=a:0", "--servers=a:1,", "--servers=::1:2", "--get-ratio=1.1",
                    "--get-ratio=nan", "--value-size=2k-1k", "--value-size=65m", "--duration=10",
                    "--timeout=0s", "--key-prefix=a b", "--keys=-1", "--zipf-theta=0", "--json=",
                    "--threads=65", "--keys=99999999999999999999", "--duration=9999999999h"}) {
    INFO(text);
    std::string given{text};
    CHECK_THAT(error_of({given}), Catch::StartsWith(given.substr(0, given.find('=')) + ": '"));
  }
  CHECK_THAT(error_of({"stray"}), Catch::StartsWith("'stray'"));
}

TEST_CASE("options that contradict each other are refused") {
  CHECK_THAT(error_of({"--threads=4", "--connections=2"}), Catch::StartsWith("--threads"));
  CHECK_THAT(error_of({"--duration=0s"}), Catch::StartsWith("--duration"));
  CHECK(error_of({"--duration=0s", "--preload"}).empty());
  CHECK_THAT(error_of({"--verify", "--value-size=10"}), Catch::StartsWith("--value-size"));
  CHECK_THAT(error_of({"report"}), Catch::StartsWith("report: needs"));
  CHECK_THAT(error_of({"report", "a.json"}), Catch::StartsWith("--report"));
}

TEST_CASE("the help names every option that an error may name") {
  for (auto name : {"servers", "protocol", "zipf-theta", "value-size", "preload", "verify", "rate",
                    "timeout", "report", "json", "quiet", "seed", "label"})
    CHECK_THAT(std::string{help_text()}, Catch::Contains("--" + std::string{name}));
}

TEST_CASE("units are read whole or not at all") {
  CHECK(parse_duration("1500us") == 1500us);
  CHECK(parse_duration("2h") == 2h);
  CHECK_FALSE(parse_duration("s"));
  CHECK_FALSE(parse_duration("1 s"));
  CHECK_FALSE(parse_duration("1.5s"));
  CHECK(parse_bytes("3m") == 3u << 20);
  CHECK_FALSE(parse_bytes("k"));
  CHECK_FALSE(parse_bytes(""));
  CHECK_FALSE(parse_bytes("18446744073709551615g"));
  CHECK_FALSE(parse_number("+1"));
  CHECK_FALSE(parse_fraction("0.5x"));
}
