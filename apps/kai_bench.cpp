#include <algorithm>
#include <atomic>
#include <csignal>
#include <cstdio>
#include <iostream>
#include <string>
#include <unistd.h>
#include <vector>

#include "apps/bench/html_report.hpp"
#include "apps/bench/json.hpp"
#include "apps/bench/options.hpp"
#include "apps/bench/runner.hpp"
#include "apps/bench/summary.hpp"
#include "protocol/errc.hpp"

namespace {

using namespace kai::bench;

std::atomic<bool> stop{false};

int complain(const caf::error& err, int status) {
  std::cerr << "kai-bench: " << kai::message_of(err) << '\n';
  return status;
}

int write_page(const std::string& file, const std::vector<nlohmann::json>& runs) {
  auto page = html_report(runs);
  if (!page)
    return complain(page.error(), 1);
  if (auto err = write_text(file, *page))
    return complain(err, 1);
  return 0;
}

int report(const command_line& line) {
  std::vector<nlohmann::json> runs;
  for (const auto& file : line.report_inputs) {
    auto run = read_json(file);
    if (!run)
      return complain(run.error(), 1);
    runs.push_back(std::move(*run));
  }
  return write_page(line.html_file, runs);
}

void show_progress(const series_row& row) {
  std::fprintf(stderr, "\r\033[K%s", progress(row).c_str());
}

int run(const command_line& line) {
  for (const auto& file : {line.json_file, line.html_file})
    if (auto err = check_writable(file))
      return complain(err, 2);
  auto terminal = isatty(STDERR_FILENO) == 1 && !line.quiet;
  auto result = run_bench(line.run, terminal ? collector::listener{show_progress} : nullptr, stop);
  if (terminal)
    std::fprintf(stderr, "\r\033[K");
  if (!result)
    return complain(result.error(), 1);
  auto document = to_json(line.run, *result);
  // JSON on standard output stays alone there, for the program that reads it.
  auto& out = line.json_file == "-" ? std::cerr : std::cout;
  out << summary(line.run, *result) << std::flush;
  auto status =
      out ? 0
          : complain(kai::failure(kai::errc::storage_failed, "the results can not be printed"), 1);
  if (!line.json_file.empty()) {
    if (auto err = write_text(
            line.json_file,
            document.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + "\n"))
      status = complain(err, 1);
  }
  if (!line.html_file.empty())
    status = std::max(status, write_page(line.html_file, {document}));
  if (status != 0)
    return status;
  if (result->succeeded(line.run.duration.count() > 0))
    return 0;
  std::cerr << "kai-bench: "
            << (result->verified() ? "no request succeeded" : "verification failed") << '\n';
  return 1;
}

} // namespace

int main(int argc, char** argv) {
  auto line = parse_command_line({argv + 1, argv + argc});
  if (!line)
    return complain(line.error(), 2);
  if (line->help) {
    std::cout << help_text();
    return 0;
  }
  if (line->report_only)
    return report(*line);
  // The first signal ends the run with its results, a second one ends the program.
  struct sigaction action {};
  action.sa_handler = [](int) { stop.store(true); };
  action.sa_flags = static_cast<int>(SA_RESETHAND);
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
  return run(*line);
}
