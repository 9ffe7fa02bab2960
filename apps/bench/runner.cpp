#include "apps/bench/runner.hpp"

#include <algorithm>
#include <barrier>
#include <memory>
#include <random>
#include <sys/resource.h>
#include <thread>
#include <utility>

#include "apps/bench/worker.hpp"
#include "protocol/errc.hpp"

namespace kai::bench {

namespace {

double cpu_seconds() {
  rusage used{};
  getrusage(RUSAGE_SELF, &used);
  auto seconds = [](timeval x) {
    return static_cast<double>(x.tv_sec) + static_cast<double>(x.tv_usec) / 1e6;
  };
  return seconds(used.ru_utime) + seconds(used.ru_stime);
}

double to_seconds(nanos x) { return static_cast<double>(x) / 1e9; }

caf::expected<std::vector<server_address>> find_servers(const run_options& options) {
  std::vector<server_address> servers;
  auto any_listens = false;
  caf::error first;
  for (const auto& name : options.servers) {
    auto addresses = resolve(name);
    if (!addresses)
      return addresses.error();
    // Of a name's addresses the one that somebody listens at, if any: localhost has two, mostly.
    auto used = addresses->front();
    for (auto& address : *addresses) {
      auto err = probe(address, options.timeout);
      if (!err) {
        any_listens = true;
        used = std::move(address);
        break;
      }
      if (!first)
        first = std::move(err);
    }
    servers.push_back(std::move(used));
  }
  if (!any_listens)
    return first;
  return servers;
}

/// A socket for each connection, and some files besides.
caf::error make_room(const run_options& options) {
  constexpr uint64_t besides = 64;
  auto wanted = options.connections + besides;
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= wanted)
    return caf::none;
  limit.rlim_cur = std::min<rlim_t>(limit.rlim_max, wanted);
  if (limit.rlim_cur >= wanted && setrlimit(RLIMIT_NOFILE, &limit) == 0)
    return caf::none;
  return failure(errc::bad_configuration, "--connections=" + std::to_string(options.connections) +
                                              ": the system lets this program open only " +
                                              std::to_string(limit.rlim_max) +
                                              " files (ulimit -n)");
}

// The phases of a run, common to all threads: each preloads its share, and when all are ready they
// begin at one time.
class phases {
public:
  phases(const run_options& options, std::vector<std::unique_ptr<worker>>& workers,
         const std::atomic<bool>& stop)
      : options_(options), workers_(workers), stop_(stop), started_(now_nanos()),
        ready_(static_cast<std::ptrdiff_t>(workers.size()), begin_phase{this}) {}

  void work(size_t index) {
    if (options_.preload)
      errors_[index] = workers_[index]->preload();
    ready_.arrive_and_wait();
    if (!failed_ && options_.duration.count() > 0)
      workers_[index]->run(begin_);
  }

  void run() {
    errors_.resize(workers_.size());
    std::vector<std::thread> threads;
    for (size_t i = 0; i < workers_.size(); ++i)
      threads.emplace_back([this, i] { work(i); });
    measure_cpu();
    for (auto& thread : threads)
      thread.join();
    cpu_measured_ = cpu_seconds() - cpu_at_begin_;
  }

  caf::error error() const {
    auto failed = std::find_if(errors_.begin(), errors_.end(), [](const auto& x) { return !!x; });
    return failed == errors_.end() ? caf::error{} : *failed;
  }

  nanos begin() const { return begin_; }
  double preload_seconds() const { return to_seconds(begin_ - started_); }
  double cpu_measured() const { return cpu_measured_; }

private:
  struct begin_phase {
    phases* self;
    void operator()() noexcept {
      self->failed_ = !!self->error();
      self->begin_ = now_nanos();
      self->begun_.store(true);
      self->begun_.notify_all();
    }
  };

  // The processor time of warm-up and preloading is not the measured time's.
  void measure_cpu() {
    begun_.wait(false);
    if (!failed_ && options_.duration.count() > 0)
      for (auto end = begin_ + options_.warmup.count(); now_nanos() < end && !stop_;)
        std::this_thread::sleep_for(std::min<std::chrono::nanoseconds>(
            limits::tick, std::chrono::nanoseconds{end - now_nanos()}));
    cpu_at_begin_ = cpu_seconds();
  }

  const run_options& options_;
  std::vector<std::unique_ptr<worker>>& workers_;
  const std::atomic<bool>& stop_;
  std::vector<caf::error> errors_;
  nanos started_;
  nanos begin_ = 0;
  bool failed_ = false;
  std::atomic<bool> begun_{false};
  double cpu_at_begin_ = 0;
  double cpu_measured_ = 0;
  std::barrier<begin_phase> ready_;
};

} // namespace

caf::expected<run_result> run_bench(const run_options& options, collector::listener listening,
                                    const std::atomic<bool>& stop) {
  if (auto err = make_room(options))
    return err;
  auto servers = find_servers(options);
  if (!servers)
    return servers.error();
  auto duration = to_seconds(options.duration.count());
  key_names names{options.key_prefix, options.keys};
  key_chooser chooser{options.distribution, options.keys, options.zipf_theta};
  value_maker maker{options.value_bytes_max};
  collector collected{options.threads, duration, std::move(listening)};
  auto run = static_cast<uint32_t>(std::random_device{}());
  std::unique_ptr<history> known;
  if (options.verify)
    known = std::make_unique<history>(options.keys, run);
  run_context context{&options,    &*servers,  &names, &chooser, &maker,
                      known.get(), &collected, &stop,  run};
  std::vector<std::unique_ptr<worker>> workers;
  for (uint64_t i = 0; i < options.threads; ++i)
    workers.push_back(std::make_unique<worker>(context, i));
  phases all{options, workers, stop};
  all.run();
  if (auto err = all.error())
    return err;
  run_result result;
  nanos last = 0;
  for (const auto& x : workers) {
    result.totals.merge(x->totals());
    last = std::max(last, x->ended());
  }
  auto measured_from = all.begin() + options.warmup.count();
  if (options.duration.count() > 0)
    result.elapsed_seconds = to_seconds(std::max<nanos>(last - measured_from, 1));
  collected.finish(result.elapsed_seconds);
  result.counted = collected.counted();
  result.series = collected.series();
  result.preload_seconds = options.preload ? all.preload_seconds() : 0;
  result.cpu_seconds = all.cpu_measured();
  result.cpu_seconds_total = cpu_seconds();
  return result;
}

} // namespace kai::bench
