#include "apps/bench/summary.hpp"

#include <array>
#include <cstdio>

namespace kai::bench {

namespace {

template <class... Ts>
std::string print(const char* format, Ts... xs) {
  std::array<char, 512> buffer{};
  std::snprintf(buffer.data(), buffer.size(), format, xs...);
  return buffer.data();
}

std::string kind_row(const char* name, const kind_tally& kind, double elapsed) {
  const auto& h = kind.latency;
  auto rate = elapsed > 0 ? static_cast<double>(kind.succeeded) / elapsed : 0;
  auto at = [&](double percent) { return human_time(static_cast<double>(h.percentile(percent))); };
  return print("%-5s %11s %10s %10s %10s %10s %10s %10s\n", name,
               human_count(static_cast<uint64_t>(rate)).c_str(), human_time(h.mean()).c_str(),
               at(50).c_str(), at(90).c_str(), at(99).c_str(), at(99.9).c_str(), at(100).c_str());
}

std::string failures(const run_result& result) {
  const auto& [gets, sets] = result.counted;
  std::string out;
  auto line = [&](const std::string& name, uint64_t count) {
    if (count > 0)
      out += print("  %12s  %s\n", human_count(count).c_str(), name.c_str());
  };
  line("misses", gets.misses);
  line("gets timed out", gets.timeouts);
  line("sets timed out", sets.timeouts);
  line("gets lost with their connection", gets.lost);
  line("sets lost with their connection", sets.lost);
  line("requests due but not sent, and not in the percentiles: too slow for the rate",
       result.totals.unsent);
  for (const auto& [name, count] : result.totals.errors.by_name())
    line(name, count);
  for (const auto& [name, count] : result.totals.connection_errors.by_name())
    line("connection: " + name, count);
  line("reconnects", result.totals.reconnects);
  line("preloaded keys stored again", result.totals.preload_retries);
  return out;
}

} // namespace

std::string human_time(double microseconds) {
  if (microseconds < 1'000)
    return print("%.0f us", microseconds);
  if (microseconds < 1'000'000)
    return print("%.3g ms", microseconds / 1e3);
  return print("%.3g s", microseconds / 1e6);
}

std::string human_count(uint64_t count) {
  auto digits = std::to_string(count);
  for (auto at = digits.size(); at > 3;)
    digits.insert(at -= 3, ",");
  return digits;
}

std::string progress(const series_row& row) {
  auto rate = static_cast<double>(row.gets + row.sets) / row.seconds;
  return print("%5llu s  %11s requests/s   get p99 %s   set p99 %s   failed %s",
               static_cast<unsigned long long>(row.second + 1),
               human_count(static_cast<uint64_t>(rate)).c_str(),
               human_time(static_cast<double>(row.get_p99)).c_str(),
               human_time(static_cast<double>(row.set_p99)).c_str(),
               human_count(row.failed).c_str());
}

std::string summary(const run_options& options, const run_result& result) {
  std::string out;
  const auto& totals = result.totals;
  if (options.preload)
    out += print("preloaded %s keys in %.1f s\n", human_count(totals.preloaded).c_str(),
                 result.preload_seconds);
  if (options.duration.count() > 0) {
    const auto& [gets, sets] = result.counted;
    auto rate = static_cast<double>(gets.succeeded + sets.succeeded) / result.elapsed_seconds;
    out += print("%s: %s requests/s over %.1f s, client %.1f CPU seconds\n", options.label.c_str(),
                 human_count(static_cast<uint64_t>(rate)).c_str(), result.elapsed_seconds,
                 result.cpu_seconds);
    out += print("%-5s %11s %10s %10s %10s %10s %10s %10s\n", "", "requests/s", "mean", "p50",
                 "p90", "p99", "p99.9", "max");
    out += kind_row("get", gets, result.elapsed_seconds);
    out += kind_row("set", sets, result.elapsed_seconds);
  }
  out += failures(result);
  if (options.verify)
    out +=
        print("verified: %s values, %s wrong, %s stale, %s missing; %s reads could be of any age\n",
              human_count(totals.values_checked).c_str(), human_count(totals.values_wrong).c_str(),
              human_count(totals.values_stale).c_str(), human_count(totals.values_missing).c_str(),
              human_count(totals.reads_without_floor).c_str());
  return out;
}

} // namespace kai::bench
