#include "apps/process.hpp"

#include <algorithm>
#include <csignal>
#include <fstream>
#include <iostream>

#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "actors/log.hpp"

namespace kai {

namespace {

sigset_t our_signals() {
  sigset_t result;
  sigemptyset(&result);
  for (auto x : {SIGTERM, SIGINT, SIGHUP})
    sigaddset(&result, x);
  return result;
}

} // namespace

void take_over_signals() {
  auto signals = our_signals();
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  std::signal(SIGPIPE, SIG_IGN);
}

void open_standard_streams() {
  // The lowest number that is free.
  int opened = 0;
  while (opened >= 0 && opened <= STDERR_FILENO)
    opened = open("/dev/null", O_RDWR);
  if (opened >= 0)
    close(opened);
}

signal_event wait_for_signal(std::chrono::milliseconds at_most) {
  auto signals = our_signals();
  timespec time{};
  time.tv_sec = static_cast<time_t>(at_most.count() / 1000);
  time.tv_nsec = static_cast<long>(at_most.count() % 1000) * 1'000'000;
  switch (sigtimedwait(&signals, nullptr, &time)) {
  case SIGTERM:
  case SIGINT: return signal_event::stop;
  case SIGHUP: return signal_event::reload;
  default: return signal_event::none;
  }
}

stop_guard::stop_guard(std::string program, std::chrono::milliseconds deadline,
                       std::function<void()> last_wish)
    : program_(std::move(program)), last_wish_(std::move(last_wish)),
      thread_([this, deadline] { watch(deadline); }) {}

stop_guard::~stop_guard() {
  {
    std::lock_guard lock{mutex_};
    done_ = true;
  }
  thread_.join();
}

bool stop_guard::done() {
  std::lock_guard lock{mutex_};
  return done_;
}

void stop_guard::watch(std::chrono::milliseconds deadline) {
  using clock_type = std::chrono::steady_clock;
  auto end = clock_type::now() + deadline;
  auto again = false;
  while (!done() && !again && clock_type::now() < end)
    again = wait_for_signal(std::chrono::milliseconds{20}) == signal_event::stop;
  if (done())
    return;
  complain(program_,
           again ? "ended by a second signal before everything was stopped"
                 : "did not stop in time, ended hard",
           exit_failed);
  last_wish_();
  _exit(exit_failed);
}

size_t raise_file_limit(size_t wanted) {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
    return wanted;
  if (limit.rlim_cur >= wanted)
    return limit.rlim_cur;
  auto raised = limit;
  raised.rlim_cur = wanted;
  raised.rlim_max = std::max<rlim_t>(limit.rlim_max, wanted);
  // Above the hard limit only root may go.
  if (setrlimit(RLIMIT_NOFILE, &raised) == 0)
    return wanted;
  limit.rlim_cur = std::min<rlim_t>(wanted, limit.rlim_max);
  setrlimit(RLIMIT_NOFILE, &limit);
  return limit.rlim_cur;
}

uint64_t usable_memory() {
  auto result = static_cast<uint64_t>(sysconf(_SC_PHYS_PAGES)) *
                static_cast<uint64_t>(sysconf(_SC_PAGE_SIZE));
  // Versions 2 and 1 of control groups, as a container sees its own (cgroups(7)). "max" is no
  // number.
  for (const auto* name :
       {"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"}) {
    std::ifstream in{name};
    uint64_t allowed = 0;
    if (in >> allowed)
      result = std::min(result, allowed);
  }
  return result;
}

int complain(std::string_view program, std::string_view message, int status) {
  std::cerr << program << ": " << one_line(message) << std::endl;
  return status;
}

} // namespace kai
