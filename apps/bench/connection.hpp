#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "apps/bench/address.hpp"
#include "apps/bench/answer_reader.hpp"
#include "apps/bench/history.hpp"
#include "apps/bench/limits.hpp"
#include "apps/bench/value.hpp"

namespace kai::bench {

/// Time as the workers count it: nanoseconds of the steady clock.
using nanos = int64_t;

nanos now_nanos();

enum class request_kind : uint8_t { get, set };

/// A request under way.
struct request {
  uint64_t key = 0;
  /// When it was meant to be sent, which is where its latency begins, and when it was.
  nanos intended = 0;
  nanos sent = 0;
  request_kind kind = request_kind::get;
  /// Counts towards the results: not warm-up, not preloading.
  bool measured = false;
  /// Of a preload.
  uint32_t attempt = 0;
  /// With --verify.
  uint32_t floor = 0;
  history::ticket write;
};

/// First in, first out, of a fixed capacity.
class request_queue {
public:
  explicit request_queue(size_t capacity) : slots_(capacity) {}

  bool empty() const { return size_ == 0; }
  size_t size() const { return size_; }
  request& front() { return slots_[first_]; }

  void push(const request& x) {
    auto last = first_ + size_;
    slots_[last < slots_.size() ? last : last - slots_.size()] = x;
    ++size_;
  }

  void pop() {
    if (++first_ == slots_.size())
      first_ = 0;
    --size_;
  }

private:
  std::vector<request> slots_;
  size_t first_ = 0;
  size_t size_ = 0;
};

/// What the values of the answer that is being read were found to be (--verify).
struct read_check {
  bool wrong = false;
  bool fine = false;
  bool stale = false;
};

/// One connection to one server, as its worker's event loop keeps it. It opens, sends what it is
/// given, keeps what the socket did not take, and counts down to the next attempt after a failure.
class connection {
public:
  enum class state : uint8_t { down, connecting, up };

  enum class io : uint8_t { done, again, failed };

  connection(const server_address& server, size_t queue_capacity, protocol_kind protocol,
             const value_maker& maker);
  ~connection();
  connection(connection&&) noexcept;
  connection& operator=(connection&&) = delete;

  /// Begins to connect. False: it failed at once, see `errno`.
  bool open(nanos now);

  /// The connect has finished: an errno value, 0 when it is up.
  int finish_open();

  /// Closes, and waits before the next attempt; the wait doubles with every failure in a row.
  void shut(nanos now);

  /// Something was answered: the next wait is short again.
  void prosper() { wait_ = limits::reconnect_min; }

  /// Sends, and keeps what the socket does not take: then `again`, until `flush` is done.
  io send(std::string_view bytes);
  io flush();

  state where() const { return state_; }
  int fd() const { return fd_; }
  bool sending() const { return !unsent_.empty(); }
  /// When to connect again while down; since when it connects while connecting.
  nanos since() const { return since_; }
  bool was_up() const { return was_up_; }
  const server_address& server() const { return *server_; }

  request_queue queue;
  answer_reader reader;
  value_checker checker;
  read_check checked;
  /// The socket is registered for writability too.
  bool watches_output = false;
  /// It waits in the worker's line of connections with room (open loop).
  bool in_line = false;

private:
  const server_address* server_;
  int fd_ = -1;
  state state_ = state::down;
  bool was_up_ = false;
  nanos since_ = 0;
  std::chrono::milliseconds wait_ = limits::reconnect_min;
  std::string unsent_;
  size_t unsent_offset_ = 0;
};

} // namespace kai::bench
