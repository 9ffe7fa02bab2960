#pragma once

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <functional>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>

namespace kai {

/// Blocks SIGTERM, SIGINT and SIGHUP in this thread and in all that it starts from now on, so that
/// only `wait_for_signal` sees them, and ignores SIGPIPE. To be called before any thread exists.
void take_over_signals();

/// Opens what of standard input, output and error is closed, on /dev/null: else the first files
/// that are opened would take their places, and get what is printed.
void open_standard_streams();

enum class signal_event : uint8_t {
  none,
  /// SIGTERM or SIGINT.
  stop,
  /// SIGHUP.
  reload,
};

/// Waits for one of the signals at most so long.
signal_event wait_for_signal(std::chrono::milliseconds at_most);

/// Ends the process with status 1 and a message if it does not get done by itself: after `deadline`
/// or at a further SIGTERM or SIGINT. From its construction to its destruction.
class stop_guard {
public:
  /// `last_wish` runs before the end; it must not block.
  stop_guard(std::string program, std::chrono::milliseconds deadline,
             std::function<void()> last_wish);
  ~stop_guard();

  stop_guard(const stop_guard&) = delete;
  stop_guard& operator=(const stop_guard&) = delete;

private:
  void watch(std::chrono::milliseconds deadline);
  bool done();

  std::string program_;
  std::function<void()> last_wish_;
  std::mutex mutex_;
  bool done_ = false;
  std::thread thread_;
};

/// Raises the number of files that this process may have open to `wanted` or as far as it goes.
/// Returns how many it may open now.
size_t raise_file_limit(size_t wanted);

/// Bytes of memory that the process may use: the machine's, or what its control group allows.
uint64_t usable_memory();

/// Prints `PROGRAM: MESSAGE` on stderr, on one line. Returns `status`.
int complain(std::string_view program, std::string_view message, int status);

/// Exit statuses of all programs.
inline constexpr int exit_failed = 1;
inline constexpr int exit_used_wrongly = 2;

} // namespace kai
