#include "apps/bench/html_report.hpp"

#include <catch2/catch.hpp>

#include "apps/bench/collector.hpp"
#include "apps/bench/json.hpp"
#include "apps/bench/summary.hpp"
#include "apps/bench/svg_chart.hpp"
#include "protocol/errc.hpp"

using namespace kai::bench;

namespace {

run_result some_result() {
  run_result result;
  for (uint64_t i = 0; i < 1000; ++i) {
    result.counted.gets.latency.record(100 + i);
    ++result.counted.gets.succeeded;
  }
  result.counted.gets.misses = 3;
  result.counted.sets.errors = 2;
  result.totals.errors.add_line("SERVER_ERROR 1 of 3 replicas answered");
  result.totals.errors.add_line("SERVER_ERROR 2 of 3 replicas answered");
  result.series.push_back(summarize(0, 1, result.counted));
  result.series.push_back(summarize(1, 1, result.counted));
  result.elapsed_seconds = 2;
  return result;
}

} // namespace

TEST_CASE("the JSON of a run has its figures") {
  auto json = to_json({}, some_result());
  CHECK(json.at("requests_per_second") == 500);
  CHECK(json.at("gets").at("latency_us").at("p50") == 599);
  CHECK(json.at("gets").at("latency_us").at("p999") == 1098);
  CHECK(json.at("gets").at("latency_us").at("max") == 1099);
  CHECK(json.at("gets").at("misses") == 3);
  CHECK(json.at("sets").at("errors") == 2);
  CHECK(json.at("errors").at("SERVER_ERROR N of N replicas") == 2);
  CHECK(json.at("series").size() == 2);
  CHECK(json.at("options").at("connections") == 50);
  CHECK(json.at("verification").is_null());
}

TEST_CASE("a page shows several runs, and whatever their labels hold") {
  run_options options;
  options.label = "<b>&\"one\"";
  auto one = to_json(options, some_result());
  options.label = "two";
  auto two = to_json(options, run_result{});
  auto page = html_report({one, two});
  REQUIRE(page);
  CHECK_THAT(*page, Catch::Contains("&lt;b&gt;&amp;&quot;one&quot;"));
  CHECK_THAT(*page, !Catch::Contains("<b>&"));
  CHECK_THAT(*page, Catch::Contains("two</th>"));
  CHECK_THAT(*page, !Catch::Contains("nan") && !Catch::Contains("inf"));
  CHECK_THAT(*page, Catch::Contains("SERVER_ERROR N of N replicas: 2"));
}

TEST_CASE("a page says what was asked for, and what could not be sent") {
  run_options options;
  options.protocol = protocol_kind::meta;
  options.distribution = distribution_kind::zipf;
  options.value_bytes_min = 100;
  options.value_bytes_max = 3000;
  auto result = some_result();
  result.totals.unsent = 4567;
  auto page = html_report({to_json(options, result)});
  REQUIRE(page);
  CHECK_THAT(*page, Catch::Contains("meta protocol, ") && Catch::Contains(", zipf"));
  CHECK_THAT(*page, Catch::Contains(" 100 to 3,000 B, "));
  CHECK_THAT(*page, Catch::Contains("<td>due but unsent, not in the percentiles</td><td>4,567<"));
}

TEST_CASE("a page of something else is an error, not a crash") {
  auto page = html_report({nlohmann::json{{"format", 1}}});
  REQUIRE_FALSE(page);
  CHECK_THAT(kai::message_of(page.error()), Catch::StartsWith("not a result of kai-bench"));
  CHECK_FALSE(read_json("/nonexistent.json"));
}

TEST_CASE("a chart without points and one of a single point are drawn") {
  for (auto kind : {axis_kind::count, axis_kind::latency, axis_kind::percentile}) {
    chart what{"t", "x", kind, kind, {{"empty", {}, 0, false}, {"one", {{0, 0}}, 1, false}}};
    auto svg = draw(what);
    CHECK_THAT(svg, Catch::StartsWith("<svg") && Catch::EndsWith("</svg>\n"));
    CHECK_THAT(svg, !Catch::Contains("nan") && !Catch::Contains("inf"));
  }
}

TEST_CASE("a chart's line has a gap where there is no value") {
  chart what{"t", "x", axis_kind::count, axis_kind::latency, {}};
  what.lines.push_back({"line", {{0, 10}, {1, 10}, {2, no_value}, {3, 1000}}, 0, false});
  auto svg = draw(what);
  auto count = [&](char step) { return std::count(svg.begin(), svg.end(), step); };
  CHECK(count('M') == 2);
  CHECK(count('L') == 3);
  CHECK_THAT(svg, !Catch::Contains("nan"));
}

TEST_CASE("a second is summed up when the last worker has delivered it") {
  std::vector<series_row> heard;
  collector all{2, 2, [&](const series_row& row) { heard.push_back(row); }};
  tally counted;
  counted.gets.succeeded = 10;
  all.deliver(0, counted);
  CHECK(heard.empty());
  all.deliver(0, counted);
  REQUIRE(heard.size() == 1);
  CHECK(heard[0].gets == 20);
  CHECK(heard[0].seconds == 1);
  all.deliver(1, counted);
  // It was to take two seconds, and was stopped before.
  all.finish(1.5);
  REQUIRE(all.series().size() == 2);
  CHECK(all.series()[1].gets == 10);
  CHECK(all.series()[1].seconds == Approx(0.5));
  CHECK(all.counted().gets.succeeded == 30);
}

TEST_CASE("kinds of errors are bounded, none is lost") {
  error_counts counts;
  for (char a = 'a'; a <= 'z'; ++a)
    for (char b = 'a'; b <= 'z'; ++b)
      counts.add_line(std::string{a, b});
  uint64_t sum = 0;
  for (const auto& [name, count] : counts.by_name())
    sum += count;
  CHECK(sum == 26 * 26);
  CHECK(counts.by_name().size() <= 65);
  CHECK(counts.by_name().count("other") == 1);
}

TEST_CASE("numbers are written for people") {
  CHECK(human_count(0) == "0");
  CHECK(human_count(1234567) == "1,234,567");
  CHECK(human_time(127) == "127 us");
  CHECK(human_time(1240) == "1.24 ms");
  CHECK(human_time(3'500'000) == "3.5 s");
}
