#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <deque>
#include <string>
#include <vector>

#include <caf/error.hpp>

#include "apps/bench/collector.hpp"
#include "apps/bench/connection.hpp"
#include "apps/bench/key_chooser.hpp"
#include "apps/bench/random.hpp"
#include "apps/bench/tally.hpp"

namespace kai::bench {

/// What all workers of a run share. All of it outlives them.
struct run_context {
  const run_options* options = nullptr;
  const std::vector<server_address>* servers = nullptr;
  const key_names* names = nullptr;
  const key_chooser* chooser = nullptr;
  const value_maker* maker = nullptr;
  /// Null without --verify.
  bench::history* history = nullptr;
  bench::collector* collector = nullptr;
  /// Set to end the run early.
  const std::atomic<bool>* stop = nullptr;
  uint32_t run = 0;
};

/// One thread's share of a run: its connections and the event loop that drives them. Every request
/// that it sends ends in exactly one count: succeeded, error, timed out, or lost with its
/// connection. One read and at most one write per event, and nothing is allocated per request.
class worker : private answer_sink {
public:
  worker(const run_context& context, uint64_t index);
  ~worker() override;
  worker(const worker&) = delete;
  worker& operator=(const worker&) = delete;

  /// Stores its share of all keys, again where a server failed. The error says which key and why,
  /// or that it was stopped before.
  caf::error preload();

  /// Runs the warm-up from `begin` on, then the measured time, then waits for what is under way.
  void run(nanos begin);

  const worker_totals& totals() const { return totals_; }

  /// The end of the measured time, or the last measured answer when that is later.
  nanos ended() const { return std::max(end_, last_answered_); }

private:
  enum class phase : uint8_t { preload, closed_loop, open_loop };

  struct retry {
    uint64_t key;
    uint32_t attempt;
    nanos due;
  };

  // The loop (worker.cpp).
  void loop();
  bool finished(nanos now) const;
  void wait_for_events(nanos now);
  void take_event(connection& c, uint32_t events);
  void take_input(connection& c);
  void fill(connection& c);
  void fill_from_schedule(nanos now);
  void send_out(connection& c);
  /// `how` all end that is under way there.
  enum class ending : uint8_t { lost, timed_out };
  void drop(connection& c, std::string why, ending how = ending::lost);
  void end_in_flight(connection& c, nanos now, const std::string& why, ending how);
  void connect(connection& c, nanos now);
  void watch(connection& c, bool output);
  void tick(nanos now);
  void deliver_seconds(nanos now);
  void stand_in_line(connection& c);

  // Requests (worker_requests.cpp).
  bool append_next(connection& c, nanos now);
  void append_run_request(connection& c, nanos now, nanos intended);
  void append_get(request& r);
  void append_set(request& r);
  void retry_later(const request& r, std::string_view why, nanos now);
  void value_begin(std::string_view key, uint64_t bytes) override;
  void value_piece(std::string_view piece) override;
  void value_end() override;
  bool answered(outcome how, std::string_view line) override;
  void count_success(const request& r, outcome how);
  void verify_read(const request& r, outcome how);

  run_context context_;
  const run_options& options_;
  uint64_t index_;
  random_source random_;
  std::vector<connection> connections_;
  int epoll_ = -1;
  phase phase_ = phase::preload;

  // One buffer each way for all connections: they stay in the processor's cache.
  std::string input_;
  std::string output_;
  std::string scratch_key_;
  // The connection whose input is being read, and the time it was read.
  connection* current_ = nullptr;
  nanos now_ = 0;

  size_t in_flight_limit_ = 1;
  uint64_t in_flight_ = 0;
  uint64_t get_threshold_ = 0;
  bool always_get_ = false;
  uint32_t writes_ = 0;
  nanos next_tick_ = 0;

  uint64_t preload_next_ = 0;
  uint64_t preload_left_ = 0;
  std::deque<retry> retries_;
  caf::error preload_error_;
  nanos last_answer_ = 0;

  nanos measure_begin_ = 0;
  nanos end_ = 0;
  nanos next_second_ = 0;
  uint64_t second_ = 0;
  double interval_ = 0;
  double next_due_ = 0;
  // At a fixed rate nothing more is sent.
  bool schedule_over_ = false;
  // Connections with room, oldest first. A deque would allocate as it moves along.
  std::vector<uint32_t> line_;
  size_t line_first_ = 0;
  size_t line_size_ = 0;

  tally counted_;
  worker_totals totals_;
  // Of a request of the measured time.
  nanos last_answered_ = 0;
};

} // namespace kai::bench
