#include "apps/bench/html_report.hpp"

#include <functional>

#include "apps/bench/summary.hpp"
#include "apps/bench/svg_chart.hpp"
#include "protocol/errc.hpp"

namespace kai::bench {

namespace {

using nlohmann::json;

constexpr const char* head = R"(<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>kai-bench</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>
body { font: 14px/1.4 system-ui, sans-serif; margin: 2em auto; max-width: 1340px; padding: 0 1em;
  color: #212529; background: #fff }
table { border-collapse: collapse; margin: 1em 0 }
th, td { padding: .25em .8em; text-align: right; border-bottom: 1px solid #dee2e6 }
th:first-child, td:first-child { text-align: left }
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(420px, 1fr)); gap: 1em }
svg { width: 100%; height: auto } svg text { font-size: 11px; fill: #495057 }
svg .title { font-size: 14px; font-weight: 600; fill: #212529 } svg .grid { stroke: #e9ecef }
.key { display: inline-block; width: 1em; height: .7em; margin-right: .4em }
</style></head><body><h1>kai-bench</h1>
)";

struct table_row {
  const char* name;
  std::function<std::string(const json&)> cell;
};

std::string rate(const json& x) { return human_count(static_cast<uint64_t>(x.get<double>())); }

table_row latency_row(const char* name, const char* kind, const char* member) {
  return {name, [=](const json& run) {
            return human_time(run.at(kind).at("latency_us").at(member).get<double>());
          }};
}

std::string failed(const json& kind) {
  return human_count(kind.at("errors").get<uint64_t>() + kind.at("timeouts").get<uint64_t>() +
                     kind.at("lost").get<uint64_t>());
}

std::string load(const json& run) {
  const auto& o = run.at("options");
  auto count = [&](const char* name) { return human_count(o.at(name).get<uint64_t>()); };
  auto fixed = o.at("rate").get<uint64_t>();
  auto smallest = o.at("value_bytes_min") == o.at("value_bytes_max")
                      ? std::string{}
                      : count("value_bytes_min") + " to ";
  return o.at("protocol").get<std::string>() + " protocol, " + count("connections") +
         " connections, pipeline " + count("pipeline") + ", " +
         human_count(static_cast<uint64_t>(o.at("get_ratio").get<double>() * 100 + 0.5)) +
         " % reads, " + smallest + count("value_bytes_max") + " B, " + count("keys") + " keys, " +
         o.at("distribution").get<std::string>() +
         (fixed > 0 ? ", " + human_count(fixed) + "/s fixed" : "");
}

std::vector<table_row> table_rows() {
  return {
      {"load", load},
      {"requests/s", [](const json& run) { return rate(run.at("requests_per_second")); }},
      {"gets/s", [](const json& run) { return rate(run.at("gets").at("requests_per_second")); }},
      latency_row("get mean", "gets", "mean"),
      latency_row("get p50", "gets", "p50"),
      latency_row("get p99", "gets", "p99"),
      latency_row("get p99.9", "gets", "p999"),
      latency_row("get max", "gets", "max"),
      {"misses",
       [](const json& run) { return human_count(run.at("gets").at("misses").get<uint64_t>()); }},
      {"gets failed", [](const json& run) { return failed(run.at("gets")); }},
      {"sets/s", [](const json& run) { return rate(run.at("sets").at("requests_per_second")); }},
      latency_row("set mean", "sets", "mean"),
      latency_row("set p50", "sets", "p50"),
      latency_row("set p99", "sets", "p99"),
      latency_row("set p99.9", "sets", "p999"),
      latency_row("set max", "sets", "max"),
      {"sets failed", [](const json& run) { return failed(run.at("sets")); }},
      {"due but unsent, not in the percentiles",
       [](const json& run) { return human_count(run.at("unsent").get<uint64_t>()); }},
      {"client CPU seconds",
       [](const json& run) {
         return std::to_string(run.at("client").at("cpu_seconds").get<double>()).substr(0, 5);
       }},
  };
}

std::string label_of(const json& run) { return run.at("label").get<std::string>(); }

std::string table(const std::vector<json>& runs) {
  std::string out = "<table><tr><th></th>";
  for (size_t i = 0; i < runs.size(); ++i)
    out += std::string{"<th><span class=\"key\" style=\"background:"} + colour_of(i) +
           "\"></span>" + escape_html(label_of(runs[i])) + "</th>";
  out += "</tr>\n";
  for (const auto& row : table_rows()) {
    out += std::string{"<tr><td>"} + row.name + "</td>";
    for (const auto& run : runs)
      out += "<td>" + escape_html(row.cell(run)) + "</td>";
    out += "</tr>\n";
  }
  return out + "</table>\n";
}

chart throughput(const std::vector<json>& runs) {
  chart result{"Requests per second", "second of the run", axis_kind::count, axis_kind::count, {}};
  for (size_t i = 0; i < runs.size(); ++i) {
    chart_line line{label_of(runs[i]), {}, i, false};
    for (const auto& row : runs[i].at("series"))
      line.points.emplace_back(row.at("second").get<double>() + 1,
                               row.at("requests_per_second").get<double>());
    result.lines.push_back(std::move(line));
  }
  return result;
}

chart latency_over_time(const std::vector<json>& runs, const char* title, const char* member) {
  chart result{title, "second of the run", axis_kind::count, axis_kind::latency, {}};
  for (size_t i = 0; i < runs.size(); ++i) {
    for (const auto* which : {"p50", "p99"}) {
      chart_line line{label_of(runs[i]) + " " + which, {}, i, std::string{which} == "p50"};
      for (const auto& row : runs[i].at("series"))
        // Where nothing was answered or timed out there is no latency.
        line.points.emplace_back(row.at("second").get<double>() + 1,
                                 row.at(member).at("max").get<double>() > 0
                                     ? row.at(member).at(which).get<double>()
                                     : no_value);
      result.lines.push_back(std::move(line));
    }
  }
  return result;
}

chart percentiles(const std::vector<json>& runs, const char* title, const char* kind) {
  chart result{title, "share of the requests", axis_kind::percentile, axis_kind::latency, {}};
  for (size_t i = 0; i < runs.size(); ++i) {
    chart_line line{label_of(runs[i]), {}, i, false};
    for (const auto& point : runs[i].at(kind).at("percentiles"))
      line.points.emplace_back(point.at(0).get<double>(), point.at(1).get<double>());
    result.lines.push_back(std::move(line));
  }
  return result;
}

std::string failures(const json& run) {
  std::string out;
  auto add = [&](const json& counts, const std::string& before) {
    for (const auto& [name, count] : counts.items())
      out += "<li>" + escape_html(before + name) + ": " + human_count(count.get<uint64_t>()) +
             "</li>\n";
  };
  add(run.at("errors"), "");
  add(run.at("connections").at("errors"), "connection: ");
  if (!run.at("verification").is_null())
    add(run.at("verification"), "verification, values ");
  return out.empty() ? out : "<h2>" + escape_html(label_of(run)) + "</h2><ul>\n" + out + "</ul>\n";
}

} // namespace

caf::expected<std::string> html_report(const std::vector<json>& runs) {
  try {
    std::string out = head;
    out += table(runs) + "<div class=\"charts\">\n" + draw(throughput(runs)) +
           draw(latency_over_time(runs, "Get latency, p99 and p50 (dashed)", "get_us")) +
           draw(latency_over_time(runs, "Set latency, p99 and p50 (dashed)", "set_us")) +
           draw(percentiles(runs, "Get latency by percentile", "gets")) +
           draw(percentiles(runs, "Set latency by percentile", "sets")) + "</div>\n";
    for (const auto& run : runs)
      out += failures(run);
    return out + "</body></html>\n";
  } catch (const json::exception& problem) {
    return failure(errc::malformed, std::string{"not a result of kai-bench: "} + problem.what());
  }
}

} // namespace kai::bench
