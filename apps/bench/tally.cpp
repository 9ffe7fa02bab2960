#include "apps/bench/tally.hpp"

#include <cctype>

#include "apps/bench/limits.hpp"

namespace kai::bench {

namespace {

constexpr int words_kept = 5;
constexpr size_t bytes_kept = 60;

} // namespace

void error_counts::add_line(std::string_view line) {
  std::string name;
  int words = 1;
  for (auto c : line.substr(0, bytes_kept)) {
    if (c == ' ' && ++words > words_kept)
      break;
    if (std::isdigit(static_cast<unsigned char>(c))) {
      if (name.empty() || name.back() != 'N')
        name.push_back('N');
    } else {
      name.push_back(std::isprint(static_cast<unsigned char>(c)) ? c : '?');
    }
  }
  add(name.empty() ? "(an empty line)" : std::move(name));
}

void error_counts::add(std::string name, uint64_t count) {
  auto known = counts_.find(name);
  if (known != counts_.end())
    known->second += count;
  else if (counts_.size() < limits::error_kinds_max)
    counts_.emplace(std::move(name), count);
  else
    counts_["other"] += count;
}

void error_counts::merge(const error_counts& other) {
  for (const auto& [name, count] : other.counts_)
    add(name, count);
}

void kind_tally::merge(const kind_tally& other) {
  latency.merge(other.latency);
  succeeded += other.succeeded;
  misses += other.misses;
  errors += other.errors;
  timeouts += other.timeouts;
  lost += other.lost;
}

void kind_tally::clear() {
  latency.clear();
  succeeded = misses = errors = timeouts = lost = 0;
}

void tally::merge(const tally& other) {
  gets.merge(other.gets);
  sets.merge(other.sets);
}

void tally::clear() {
  gets.clear();
  sets.clear();
}

series_row summarize(uint64_t second, double seconds, const tally& counted) {
  const auto& [gets, sets] = counted;
  series_row row;
  row.second = second;
  row.seconds = seconds;
  row.gets = gets.succeeded;
  row.sets = sets.succeeded;
  row.failed = gets.errors + gets.timeouts + gets.lost + sets.errors + sets.timeouts + sets.lost;
  row.get_p50 = gets.latency.percentile(50);
  row.get_p99 = gets.latency.percentile(99);
  row.get_max = gets.latency.max();
  row.set_p50 = sets.latency.percentile(50);
  row.set_p99 = sets.latency.percentile(99);
  row.set_max = sets.latency.max();
  return row;
}

void worker_totals::merge(const worker_totals& other) {
  requests_sent += other.requests_sent;
  requests_answered += other.requests_answered;
  bytes_read += other.bytes_read;
  bytes_written += other.bytes_written;
  reconnects += other.reconnects;
  unsent += other.unsent;
  preloaded += other.preloaded;
  preload_retries += other.preload_retries;
  values_checked += other.values_checked;
  values_wrong += other.values_wrong;
  values_stale += other.values_stale;
  values_missing += other.values_missing;
  reads_without_floor += other.reads_without_floor;
  errors.merge(other.errors);
  connection_errors.merge(other.connection_errors);
}

bool run_result::verified() const {
  return totals.values_wrong == 0 && totals.values_stale == 0 && totals.values_missing == 0;
}

bool run_result::succeeded(bool measured) const {
  return verified() && (!measured || counted.gets.succeeded + counted.sets.succeeded > 0);
}

} // namespace kai::bench
