#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include <spdlog/fmt/fmt.h>

namespace kai {

/// From the most important on: a level includes the ones before it.
enum class log_level : uint8_t { error, warning, info, debug };

std::string to_string(log_level x);

/// The level of loggers made from now on (log.level); log_level::info at first.
void set_initial_log_level(log_level x);

/// One node's log: one line per event on stderr, with the time and the node's name, so that several
/// nodes of one process can be told apart. A handle: copies share name and level. Thread-safe. Not
/// for a request's path at levels that are on by default: a line is a system call.
class logger {
public:
  explicit logger(std::string name = "kai");

  /// Known only once the node's port is bound, where node.name is not set.
  void rename(std::string name);

  log_level level() const { return shared_->level.load(std::memory_order_relaxed); }
  /// The `verbosity` command: takes effect at once on every copy.
  void set_level(log_level x) { shared_->level.store(x, std::memory_order_relaxed); }
  bool enabled(log_level x) const { return x <= level(); }

  template <class... Ts>
  void error(fmt::format_string<Ts...> text, Ts&&... xs) const {
    write_if(log_level::error, text, std::forward<Ts>(xs)...);
  }
  template <class... Ts>
  void warning(fmt::format_string<Ts...> text, Ts&&... xs) const {
    write_if(log_level::warning, text, std::forward<Ts>(xs)...);
  }
  template <class... Ts>
  void info(fmt::format_string<Ts...> text, Ts&&... xs) const {
    write_if(log_level::info, text, std::forward<Ts>(xs)...);
  }
  template <class... Ts>
  void debug(fmt::format_string<Ts...> text, Ts&&... xs) const {
    write_if(log_level::debug, text, std::forward<Ts>(xs)...);
  }

private:
  struct shared {
    std::atomic<log_level> level;
    /// Replaced as a whole by `rename`.
    std::atomic<std::shared_ptr<const std::string>> name;
  };

  template <class... Ts>
  void write_if(log_level level, fmt::format_string<Ts...> text, Ts&&... xs) const {
    if (enabled(level))
      write(level, fmt::format(text, std::forward<Ts>(xs)...));
  }

  void write(log_level level, const std::string& text) const;

  std::shared_ptr<shared> shared_;
};

/// `text` on one line of at most limits::log_line_bytes_max bytes: control characters escaped, so
/// that what a client or a peer sent can not forge lines.
std::string one_line(std::string_view text);

} // namespace kai
