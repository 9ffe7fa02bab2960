#include "apps/bench/runner.hpp"

#include <catch2/catch.hpp>

#include "protocol/errc.hpp"
#include "test/apps/bench/scripted_server.hpp"

using namespace kai::bench;
using namespace std::chrono_literals;

namespace {

using deed = scripted_server::deed;

run_options small_run(const scripted_server& server) {
  run_options options;
  options.servers = {{"127.0.0.1", server.port()}};
  options.connections = 4;
  options.keys = 20;
  options.value_bytes_min = 44;
  options.value_bytes_max = 3000;
  options.duration = 150ms;
  options.warmup = 20ms;
  options.timeout = 100ms;
  return options;
}

caf::expected<run_result> bench(const run_options& options) {
  std::atomic<bool> stop{false};
  return run_bench(options, nullptr, stop);
}

uint64_t ended(const kind_tally& kind) {
  return kind.succeeded + kind.errors + kind.timeouts + kind.lost;
}

} // namespace

TEST_CASE("a good server is verified, plain and pipelined, by one thread and by two") {
  scripted_server server{[](uint64_t, bool) { return deed::serve; }};
  auto options = small_run(server);
  options.preload = true;
  options.verify = true;
  for (uint64_t pipeline : {1, 5}) {
    for (uint64_t threads : {1, 2}) {
      INFO("pipeline " << pipeline << ", threads " << threads);
      options.pipeline = pipeline;
      options.threads = threads;
      auto result = bench(options);
      REQUIRE(result);
      CHECK(result->totals.preloaded == options.keys);
      CHECK(result->counted.gets.succeeded > 0);
      CHECK(result->counted.sets.succeeded > 0);
      CHECK(result->counted.gets.misses == 0);
      CHECK(result->totals.values_checked > 0);
      CHECK(result->succeeded(true));
      CHECK(result->totals.requests_sent == result->totals.requests_answered);
      CHECK(result->counted.gets.latency.count() == ended(result->counted.gets));
    }
  }
}

TEST_CASE("a changed value fails the verification") {
  scripted_server server{
      [](uint64_t number, bool) { return number % 50 == 49 ? deed::corrupt : deed::serve; }};
  auto options = small_run(server);
  options.preload = true;
  options.verify = true;
  auto result = bench(options);
  REQUIRE(result);
  CHECK(result->totals.values_wrong > 0);
  CHECK_FALSE(result->succeeded(true));
}

TEST_CASE("a write that was acknowledged and forgotten is found as stale or missing") {
  scripted_server server{[](uint64_t number, bool is_set) {
    return is_set && number > 60 ? deed::forget_write : deed::serve;
  }};
  auto options = small_run(server);
  options.preload = true;
  options.verify = true;
  auto result = bench(options);
  REQUIRE(result);
  CHECK(result->totals.values_stale > 0);
  CHECK_FALSE(result->succeeded(true));
}

TEST_CASE("misses of keys never stored are counted and are no failure") {
  scripted_server server{[](uint64_t, bool) { return deed::serve; }};
  auto options = small_run(server);
  options.get_ratio = 1;
  options.verify = true;
  auto result = bench(options);
  REQUIRE(result);
  CHECK(result->counted.gets.misses == result->counted.gets.succeeded);
  CHECK(result->counted.sets.succeeded == 0);
  CHECK(result->succeeded(true));
}

TEST_CASE("errors are counted by what the server said, apart from latencies") {
  scripted_server server{
      [](uint64_t number, bool) { return number % 3 == 0 ? deed::refuse : deed::serve; }};
  auto result = bench(small_run(server));
  REQUIRE(result);
  auto errors = result->counted.gets.errors + result->counted.sets.errors;
  CHECK(errors > 0);
  CHECK(result->totals.errors.by_name().at("SERVER_ERROR N of N replicas") == errors);
  CHECK(result->counted.gets.latency.count() == result->counted.gets.succeeded);
}

TEST_CASE("preloading stores again what a server refused or closed on") {
  scripted_server server{[](uint64_t number, bool) {
    return number % 7 == 3 ? deed::refuse : number == 25 ? deed::close : deed::serve;
  }};
  auto options = small_run(server);
  options.preload = true;
  options.duration = 0ms;
  auto result = bench(options);
  REQUIRE(result);
  CHECK(result->totals.preloaded == options.keys);
  CHECK(result->totals.preload_retries > 0);
  CHECK(result->succeeded(false));
}

TEST_CASE("a connection that the server closes is opened again and its requests are lost") {
  scripted_server server{
      [](uint64_t number, bool) { return number % 40 == 39 ? deed::close : deed::serve; }};
  auto options = small_run(server);
  options.pipeline = 3;
  auto result = bench(options);
  REQUIRE(result);
  CHECK(result->totals.reconnects > 0);
  CHECK(result->counted.gets.lost + result->counted.sets.lost > 0);
  CHECK(result->counted.gets.succeeded > 0);
  CHECK(result->totals.connection_errors.by_name().at("closed by the server") > 0);
}

TEST_CASE("a request that is never answered is timed out, and its wait is a latency") {
  scripted_server server{
      [](uint64_t number, bool) { return number == 100 ? deed::ignore : deed::serve; }};
  auto options = small_run(server);
  options.warmup = 0ms;
  options.duration = 400ms;
  auto result = bench(options);
  REQUIRE(result);
  const auto& [gets, sets] = result->counted;
  CHECK(gets.timeouts + sets.timeouts >= 1);
  CHECK(std::max(gets.latency.max(), sets.latency.max()) >= 100'000);
  CHECK(result->totals.requests_sent == ended(gets) + ended(sets));
}

TEST_CASE("what waits behind a request that is never answered has timed out as well") {
  scripted_server server{
      [](uint64_t number, bool) { return number >= 100 ? deed::ignore : deed::serve; }};
  auto options = small_run(server);
  options.connections = 1;
  options.pipeline = 500;
  options.rate = 1000;
  options.warmup = 0ms;
  options.duration = 400ms;
  auto result = bench(options);
  REQUIRE(result);
  const auto& [gets, sets] = result->counted;
  CHECK(gets.lost + sets.lost == 0);
  CHECK(gets.timeouts + sets.timeouts > 100);
  CHECK(gets.latency.count() + sets.latency.count() == ended(gets) + ended(sets));
}

TEST_CASE("a run that is stopped in its warm-up ends then") {
  scripted_server server{[](uint64_t, bool) { return deed::serve; }};
  auto options = small_run(server);
  options.warmup = std::chrono::hours{1};
  std::atomic<bool> stop{false};
  std::thread stopper{[&] {
    while (server.requests() == 0)
      std::this_thread::sleep_for(1ms);
    stop = true;
  }};
  auto result = run_bench(options, nullptr, stop);
  stopper.join();
  REQUIRE(result);
  CHECK(result->counted.gets.succeeded + result->counted.sets.succeeded == 0);
}

TEST_CASE("more connections than the system has files for are refused") {
  scripted_server server{[](uint64_t, bool) { return deed::serve; }};
  auto options = small_run(server);
  options.connections = uint64_t{1} << 40;
  auto result = bench(options);
  REQUIRE_FALSE(result);
  CHECK_THAT(kai::message_of(result.error()), Catch::Contains("ulimit -n"));
}

TEST_CASE("a server that answers nonsense is left and tried again") {
  scripted_server server{
      [](uint64_t number, bool) { return number % 30 == 29 ? deed::garbage : deed::serve; }};
  auto result = bench(small_run(server));
  REQUIRE(result);
  CHECK(result->totals.connection_errors.by_name().at("answers that fit no request") > 0);
  CHECK(result->succeeded(true));
}

TEST_CASE("at a fixed rate the requests that were due are sent or reported") {
  scripted_server server{[](uint64_t, bool) { return deed::serve; }};
  auto options = small_run(server);
  options.duration = 200ms;
  options.rate = 1000;
  auto result = bench(options);
  REQUIRE(result);
  CHECK(ended(result->counted.gets) + ended(result->counted.sets) + result->totals.unsent ==
        Approx(200).margin(2));
}

TEST_CASE("a rate that a server can not take ends in time, and the rest is reported as unsent") {
  // At most 500 requests per second.
  scripted_server server{[](uint64_t, bool) {
    std::this_thread::sleep_for(2ms);
    return deed::serve;
  }};
  auto options = small_run(server);
  options.connections = 8;
  options.warmup = 0ms;
  options.duration = 1500ms;
  options.timeout = 1s;
  options.rate = 1000;
  auto result = bench(options);
  REQUIRE(result);
  CHECK(result->elapsed_seconds <= 2.5);
  const auto& [gets, sets] = result->counted;
  CHECK(result->totals.unsent >= 700);
  CHECK(ended(gets) + ended(sets) + result->totals.unsent == Approx(1500).margin(2));
  // What was under way at the end counts in the last second.
  for (const auto& row : result->series)
    CHECK(static_cast<double>(row.gets + row.sets) <= row.seconds * 500 + 2 * 8);
}

TEST_CASE("requests that are never answered do not stretch the measured time") {
  scripted_server server{
      [](uint64_t number, bool) { return number < 100 ? deed::serve : deed::ignore; }};
  auto options = small_run(server);
  options.warmup = 0ms;
  options.timeout = 1s;
  auto result = bench(options);
  REQUIRE(result);
  CHECK(result->counted.gets.timeouts + result->counted.sets.timeouts == 4);
  CHECK(result->elapsed_seconds < 1);
}

TEST_CASE("preloading that is stopped before its end is an error") {
  std::atomic<bool> stop{false};
  scripted_server server{[&](uint64_t number, bool) {
    stop = number >= 5;
    return number < 5 ? deed::serve : deed::ignore;
  }};
  auto options = small_run(server);
  options.preload = true;
  options.duration = 0ms;
  auto result = run_bench(options, nullptr, stop);
  REQUIRE_FALSE(result);
  CHECK_THAT(kai::message_of(result.error()), Catch::Contains("stopped before all keys"));
}

TEST_CASE("at a fixed rate a stall delays every request that was due meanwhile") {
  scripted_server server{
      [](uint64_t number, bool) { return number == 20 ? deed::ignore : deed::serve; }};
  auto options = small_run(server);
  options.connections = 1;
  options.warmup = 0ms;
  options.duration = 300ms;
  options.rate = 500;
  auto result = bench(options);
  REQUIRE(result);
  // 100 ms of silence at 500 per second are 50 requests; half of them waited 50 ms and more.
  const auto& [gets, sets] = result->counted;
  histogram all = gets.latency;
  all.merge(sets.latency);
  CHECK(all.percentile(90) >= 50'000);
}

TEST_CASE("a server that is not there is an error which names it") {
  run_options options;
  options.servers = {{"127.0.0.1", 1}};
  auto result = bench(options);
  REQUIRE_FALSE(result);
  CHECK_THAT(kai::message_of(result.error()), Catch::StartsWith("127.0.0.1:1: "));
}

TEST_CASE("a run in which everything was refused has not succeeded") {
  scripted_server server{[](uint64_t, bool) { return deed::refuse; }};
  auto result = bench(small_run(server));
  REQUIRE(result);
  CHECK_FALSE(result->succeeded(true));
}
