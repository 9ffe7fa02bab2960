#include "apps/bench/json.hpp"

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <sstream>
#include <unistd.h>
#include <utility>

#include "protocol/errc.hpp"

namespace kai::bench {

namespace {

using nlohmann::json;

constexpr int format_version = 1;

double seconds_of(std::chrono::nanoseconds x) { return static_cast<double>(x.count()) / 1e9; }

double per_second(uint64_t count, double seconds) {
  return seconds > 0 ? static_cast<double>(count) / seconds : 0;
}

json options_json(const run_options& o) {
  json servers = json::array();
  for (const auto& server : o.servers)
    servers.push_back(to_string(server));
  return {{"servers", servers},
          {"protocol", to_string(o.protocol)},
          {"threads", o.threads},
          {"connections", o.connections},
          {"pipeline", o.pipeline},
          {"get_ratio", o.get_ratio},
          {"keys", o.keys},
          {"key_prefix", o.key_prefix},
          {"distribution", to_string(o.distribution)},
          {"zipf_theta", o.zipf_theta},
          {"value_bytes_min", o.value_bytes_min},
          {"value_bytes_max", o.value_bytes_max},
          {"duration_seconds", seconds_of(o.duration)},
          {"warmup_seconds", seconds_of(o.warmup)},
          {"timeout_seconds", seconds_of(o.timeout)},
          {"rate", o.rate},
          {"preload", o.preload},
          {"verify", o.verify},
          {"seed", o.seed}};
}

json latency_json(const histogram& h) {
  return {{"mean", h.mean()},        {"p50", h.percentile(50)},    {"p90", h.percentile(90)},
          {"p99", h.percentile(99)}, {"p999", h.percentile(99.9)}, {"max", h.max()},
          {"samples", h.count()}};
}

json kind_json(const kind_tally& kind, double elapsed) {
  json curve = json::array();
  for (const auto& [percent, microseconds] : kind.latency.curve())
    curve.push_back({percent, microseconds});
  return {{"succeeded", kind.succeeded},
          {"requests_per_second", per_second(kind.succeeded, elapsed)},
          {"misses", kind.misses},
          {"errors", kind.errors},
          {"timeouts", kind.timeouts},
          {"lost", kind.lost},
          {"latency_us", latency_json(kind.latency)},
          {"percentiles", curve}};
}

json series_json(const std::vector<series_row>& series) {
  json rows = json::array();
  for (const auto& row : series)
    rows.push_back(
        {{"second", row.second},
         {"requests_per_second", per_second(row.gets + row.sets, row.seconds)},
         {"gets", row.gets},
         {"sets", row.sets},
         {"failed", row.failed},
         {"get_us", {{"p50", row.get_p50}, {"p99", row.get_p99}, {"max", row.get_max}}},
         {"set_us", {{"p50", row.set_p50}, {"p99", row.set_p99}, {"max", row.set_max}}}});
  return rows;
}

} // namespace

json to_json(const run_options& options, const run_result& result) {
  const auto& totals = result.totals;
  auto succeeded = result.counted.gets.succeeded + result.counted.sets.succeeded;
  json document{
      {"format", format_version},
      {"label", options.label},
      {"options", options_json(options)},
      {"elapsed_seconds", result.elapsed_seconds},
      {"requests_per_second", per_second(succeeded, result.elapsed_seconds)},
      {"gets", kind_json(result.counted.gets, result.elapsed_seconds)},
      {"sets", kind_json(result.counted.sets, result.elapsed_seconds)},
      {"unsent", totals.unsent},
      {"errors", totals.errors.by_name()},
      {"connections",
       {{"reconnects", totals.reconnects}, {"errors", totals.connection_errors.by_name()}}},
      {"client",
       {{"cpu_seconds", result.cpu_seconds}, {"cpu_seconds_total", result.cpu_seconds_total}}},
      {"totals",
       {{"requests_sent", totals.requests_sent},
        {"requests_answered", totals.requests_answered},
        {"bytes_read", totals.bytes_read},
        {"bytes_written", totals.bytes_written}}},
      {"series", series_json(result.series)},
      {"preload", nullptr},
      {"verification", nullptr},
  };
  if (options.preload)
    document["preload"] = {{"stored", totals.preloaded},
                           {"retries", totals.preload_retries},
                           {"seconds", result.preload_seconds}};
  if (options.verify)
    document["verification"] = {{"checked", totals.values_checked},
                                {"wrong", totals.values_wrong},
                                {"stale", totals.values_stale},
                                {"missing", totals.values_missing},
                                {"of_any_age", totals.reads_without_floor}};
  return document;
}

caf::error write_text(const std::string& file, const std::string& text) {
  if (file == "-") {
    std::cout << text << std::flush;
    return std::cout ? caf::error{}
                     : failure(errc::storage_failed, "standard output can not be written");
  }
  std::ofstream out{file, std::ios::binary | std::ios::trunc};
  out << text << std::flush;
  return out ? caf::error{}
             : failure(errc::storage_failed,
                       file + ": can not be written: " + std::strerror(errno));
}

caf::error check_writable(const std::string& file) {
  if (file.empty() || file == "-")
    return caf::none;
  std::filesystem::path path{file};
  auto folder = path.has_parent_path() ? path.parent_path() : std::filesystem::path{"."};
  std::error_code ignored;
  auto writable = std::filesystem::exists(path, ignored) ? access(path.c_str(), W_OK)
                                                         : access(folder.c_str(), W_OK);
  return writable == 0 ? caf::error{}
                       : failure(errc::bad_configuration,
                                 file + ": can not be written: " + std::strerror(errno));
}

caf::expected<json> read_json(const std::string& file) {
  std::ifstream in{file, std::ios::binary};
  if (!in)
    return failure(errc::bad_configuration, file + ": can not be read: " + std::strerror(errno));
  std::ostringstream text;
  text << in.rdbuf();
  auto document = json::parse(text.str(), nullptr, false);
  if (document.is_discarded())
    return failure(errc::malformed, file + ": not JSON");
  if (!document.is_object() || document.value("format", json{}) != format_version)
    return failure(errc::malformed, file + ": not a result of kai-bench");
  return document;
}

} // namespace kai::bench
