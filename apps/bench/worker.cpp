#include "apps/bench/worker.hpp"

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <sys/epoll.h>
#include <unistd.h>

#include "protocol/errc.hpp"

namespace kai::bench {

namespace {

constexpr int events_per_turn = 128;
constexpr nanos second = 1'000'000'000;
constexpr nanos tick_nanos = std::chrono::nanoseconds{limits::tick}.count();

} // namespace

worker::worker(const run_context& context, uint64_t index)
    : context_(context), options_(*context.options), index_(index),
      random_(options_.seed * 1009 + index), input_(limits::read_bytes, '\0') {
  epoll_ = epoll_create1(EPOLL_CLOEXEC);
  auto capacity = std::max(options_.pipeline, options_.preload ? limits::preload_pipeline : 0);
  for (auto i = index; i < options_.connections; i += options_.threads)
    connections_.emplace_back((*context.servers)[i % context.servers->size()], capacity,
                              options_.protocol, *context.maker);
  line_.resize(connections_.size());
  always_get_ = options_.get_ratio >= 1;
  get_threshold_ = always_get_ ? 0 : static_cast<uint64_t>(options_.get_ratio * 0x1.0p64);
}

worker::~worker() {
  connections_.clear();
  if (epoll_ >= 0)
    close(epoll_);
}

caf::error worker::preload() {
  phase_ = phase::preload;
  auto fit = limits::preload_bytes_in_flight / std::max<uint64_t>(options_.value_bytes_max, 1);
  in_flight_limit_ =
      std::max(options_.pipeline, std::clamp<uint64_t>(fit, 1, limits::preload_pipeline));
  preload_next_ = index_;
  preload_left_ = options_.keys > index_ ? (options_.keys - index_ - 1) / options_.threads + 1 : 0;
  last_answer_ = now_nanos();
  loop();
  if (preload_left_ > 0 && !preload_error_)
    preload_error_ = failure(errc::refused, "preload: stopped before all keys were stored");
  return preload_error_;
}

void worker::run(nanos begin) {
  phase_ = options_.rate == 0 ? phase::closed_loop : phase::open_loop;
  in_flight_limit_ = options_.pipeline;
  measure_begin_ = begin + options_.warmup.count();
  end_ = measure_begin_ + options_.duration.count();
  next_second_ = measure_begin_ + second;
  if (options_.rate > 0) {
    interval_ = 1e9 / static_cast<double>(options_.rate) * static_cast<double>(options_.threads);
    next_due_ = static_cast<double>(begin) +
                interval_ * static_cast<double>(index_) / static_cast<double>(options_.threads);
    for (auto& c : connections_)
      stand_in_line(c);
  }
  next_tick_ = 0;
  loop();
  if (options_.rate > 0 && next_due_ < static_cast<double>(end_))
    totals_.unsent = static_cast<uint64_t>((static_cast<double>(end_) - next_due_) / interval_);
  context_.collector->deliver(second_, counted_);
  counted_.clear();
}

bool worker::finished(nanos now) const {
  if (phase_ == phase::preload)
    return preload_left_ == 0 || preload_error_ || context_.stop->load(std::memory_order_relaxed);
  return now >= end_ && in_flight_ == 0 && (phase_ == phase::closed_loop || schedule_over_);
}

void worker::loop() {
  for (now_ = now_nanos(); !finished(now_);) {
    if (now_ >= next_tick_)
      tick(now_);
    if (phase_ == phase::open_loop)
      fill_from_schedule(now_);
    wait_for_events(now_);
    if (phase_ != phase::preload)
      deliver_seconds(now_);
  }
}

void worker::wait_for_events(nanos now) {
  auto until = next_tick_;
  if (phase_ == phase::open_loop && line_size_ > 0 && !schedule_over_)
    until = std::min(until, static_cast<nanos>(std::ceil(next_due_)));
  auto wait = std::max<nanos>(until - now, 0);
  timespec timeout{wait / second, wait % second};
  epoll_event events[events_per_turn];
  auto n = epoll_pwait2(epoll_, events, events_per_turn, &timeout, nullptr);
  if (n <= 0) {
    now_ = now_nanos();
    return;
  }
  for (int i = 0; i < n; ++i)
    take_event(connections_[events[i].data.u32], events[i].events);
  now_ = now_nanos();
}

void worker::take_event(connection& c, uint32_t events) {
  if (c.where() == connection::state::connecting) {
    now_ = now_nanos();
    auto again = c.was_up();
    if (auto code = c.finish_open(); code != 0)
      return drop(c, "connect: " + std::string{std::strerror(code)});
    totals_.reconnects += again ? 1 : 0;
    watch(c, false);
    stand_in_line(c);
    return fill(c);
  }
  if (c.where() != connection::state::up)
    return;
  if ((events & EPOLLOUT) != 0) {
    now_ = now_nanos();
    auto how = c.flush();
    if (how == connection::io::failed)
      return drop(c, "write: " + std::string{std::strerror(errno)});
    if (how == connection::io::done) {
      watch(c, false);
      stand_in_line(c);
      fill(c);
    }
  }
  if ((events & ~uint32_t{EPOLLOUT}) != 0 && c.where() == connection::state::up)
    take_input(c);
}

void worker::take_input(connection& c) {
  auto n = read(c.fd(), input_.data(), input_.size());
  if (n < 0 && (errno == EAGAIN || errno == EINTR))
    return;
  if (n < 0)
    return drop(c, "read: " + std::string{std::strerror(errno)});
  if (n == 0)
    return drop(c, "closed by the server");
  totals_.bytes_read += static_cast<uint64_t>(n);
  now_ = now_nanos();
  current_ = &c;
  auto good = c.reader.feed({input_.data(), static_cast<size_t>(n)}, *this);
  current_ = nullptr;
  if (!good)
    return drop(c, "answers that fit no request");
  stand_in_line(c);
  fill(c);
}

void worker::fill(connection& c) {
  if (phase_ == phase::open_loop || c.sending())
    return;
  output_.clear();
  while (c.queue.size() < in_flight_limit_ && append_next(c, now_)) {
  }
  send_out(c);
}

void worker::stand_in_line(connection& c) {
  if (phase_ != phase::open_loop || c.in_line || c.where() != connection::state::up ||
      c.sending() || c.queue.size() >= in_flight_limit_)
    return;
  c.in_line = true;
  auto last = (line_first_ + line_size_++) % line_.size();
  line_[last] = static_cast<uint32_t>(&c - connections_.data());
}

void worker::fill_from_schedule(nanos now) {
  // At the end once more, for what fell due since the last turn: a free connection takes it. What
  // waits for one then stays unsent.
  if (schedule_over_)
    return;
  schedule_over_ = now >= end_;
  // What the warm-up could not send is not owed by the measured time.
  if (now >= measure_begin_ && next_due_ < static_cast<double>(measure_begin_)) {
    auto behind = std::ceil((static_cast<double>(measure_begin_) - next_due_) / interval_);
    next_due_ += behind * interval_;
  }
  auto until = static_cast<double>(std::min(now, end_ - 1));
  while (line_size_ > 0 && next_due_ <= until) {
    auto& c = connections_[line_[line_first_]];
    line_first_ = (line_first_ + 1) % line_.size();
    --line_size_;
    c.in_line = false;
    if (c.where() != connection::state::up)
      continue;
    output_.clear();
    append_run_request(c, now, static_cast<nanos>(next_due_));
    next_due_ += interval_;
    send_out(c);
    stand_in_line(c);
  }
}

void worker::send_out(connection& c) {
  if (output_.empty())
    return;
  totals_.bytes_written += output_.size();
  auto how = c.send(output_);
  if (how == connection::io::failed)
    drop(c, "write: " + std::string{std::strerror(errno)});
  else if (how == connection::io::again)
    watch(c, true);
}

void worker::drop(connection& c, std::string why, ending how) {
  end_in_flight(c, now_, why, how);
  c.shut(now_);
  totals_.connection_errors.add(std::move(why));
}

// Those behind one that timed out have waited as well, and were not answered either: what they
// waited is in the percentiles.
void worker::end_in_flight(connection& c, nanos now, const std::string& why, ending how) {
  for (; !c.queue.empty(); c.queue.pop(), --in_flight_) {
    const auto& r = c.queue.front();
    if (phase_ == phase::preload) {
      retry_later(r, why, now);
      continue;
    }
    if (!r.measured)
      continue;
    auto& kind = r.kind == request_kind::get ? counted_.gets : counted_.sets;
    if (how == ending::lost && now - r.sent < options_.timeout.count()) {
      ++kind.lost;
    } else {
      ++kind.timeouts;
      kind.latency.record(static_cast<uint64_t>((now - r.intended) / 1000));
    }
  }
}

void worker::connect(connection& c, nanos now) {
  if (!c.open(now))
    return drop(c, "connect: " + std::string{std::strerror(errno)});
  epoll_event event{};
  event.events = EPOLLOUT;
  event.data.u32 = static_cast<uint32_t>(&c - connections_.data());
  epoll_ctl(epoll_, EPOLL_CTL_ADD, c.fd(), &event);
}

void worker::watch(connection& c, bool output) {
  epoll_event event{};
  event.events = output ? EPOLLIN | EPOLLOUT : EPOLLIN;
  event.data.u32 = static_cast<uint32_t>(&c - connections_.data());
  epoll_ctl(epoll_, EPOLL_CTL_MOD, c.fd(), &event);
}

void worker::tick(nanos now) {
  next_tick_ = now + tick_nanos;
  if (phase_ != phase::preload && context_.stop->load(std::memory_order_relaxed))
    end_ = std::min(end_, now);
  auto timeout = options_.timeout.count();
  for (auto& c : connections_) {
    switch (c.where()) {
    case connection::state::down:
      if (now >= c.since())
        connect(c, now);
      break;
    case connection::state::connecting:
      if (now - c.since() >= timeout)
        drop(c, "connect: timed out");
      break;
    case connection::state::up:
      // Answers come in order, so nothing behind the first can be answered before it is.
      if (!c.queue.empty() && now - c.queue.front().sent >= timeout)
        drop(c, "no answer in time", ending::timed_out);
      else if (c.queue.size() < in_flight_limit_)
        fill(c);
      break;
    }
  }
  if (phase_ == phase::preload && now - last_answer_ > 2 * timeout && !preload_error_) {
    std::string why = "preload: no answer from any server in time";
    for (const auto& [name, count] : totals_.connection_errors.by_name())
      why += "; connection: " + name;
    preload_error_ = failure(errc::timed_out, why);
  }
}

void worker::deliver_seconds(nanos now) {
  // What ends after the end counts in the last second, which `run` delivers.
  while (now >= next_second_ && next_second_ < end_) {
    context_.collector->deliver(second_++, counted_);
    counted_.clear();
    next_second_ += second;
  }
}

} // namespace kai::bench
