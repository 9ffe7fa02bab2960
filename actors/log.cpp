#include "actors/log.hpp"

#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include "protocol/limits.hpp"

namespace kai {

namespace {

std::atomic<log_level> initial_level{log_level::info};

/// All loggers of the process write through one sink: its lock keeps lines whole.
spdlog::logger& output() {
  static auto instance = [] {
    auto sink = std::make_shared<spdlog::sinks::stderr_sink_mt>();
    auto result = std::make_shared<spdlog::logger>("kai", std::move(sink));
    result->set_pattern("%Y-%m-%dT%H:%M:%S.%e%z %l %v");
    // The level is a matter of each node's logger.
    result->set_level(spdlog::level::trace);
    return result;
  }();
  return *instance;
}

spdlog::level::level_enum native(log_level x) {
  switch (x) {
  case log_level::error: return spdlog::level::err;
  case log_level::warning: return spdlog::level::warn;
  case log_level::info: return spdlog::level::info;
  case log_level::debug: break;
  }
  return spdlog::level::debug;
}

} // namespace

std::string to_string(log_level x) {
  switch (x) {
  case log_level::error: return "error";
  case log_level::warning: return "warning";
  case log_level::info: return "info";
  case log_level::debug: break;
  }
  return "debug";
}

void set_initial_log_level(log_level x) { initial_level = x; }

logger::logger(std::string name) : shared_(std::make_shared<shared>()) {
  set_level(initial_level);
  rename(std::move(name));
}

void logger::rename(std::string name) {
  shared_->name.store(std::make_shared<const std::string>(std::move(name)));
}

void logger::write(log_level level, const std::string& text) const {
  auto name = shared_->name.load();
  output().log(native(level), "[{}] {}", *name, one_line(text));
}

std::string one_line(std::string_view text) {
  auto cut = text.size() > limits::log_line_bytes_max;
  std::string result;
  for (auto c : text.substr(0, limits::log_line_bytes_max)) {
    auto byte = static_cast<unsigned char>(c);
    if (byte >= 0x20 && byte != 0x7f)
      result.push_back(c);
    else
      result += fmt::format("\\x{:02x}", byte);
  }
  return cut ? result + "..." : result;
}

} // namespace kai
