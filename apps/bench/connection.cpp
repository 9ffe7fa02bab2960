#include "apps/bench/connection.hpp"

#include <algorithm>
#include <cerrno>
#include <sys/socket.h>
#include <unistd.h>
#include <utility>

namespace kai::bench {

nanos now_nanos() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

connection::connection(const server_address& server, size_t queue_capacity, protocol_kind protocol,
                       const value_maker& maker)
    : queue(queue_capacity), reader(protocol), checker(maker), server_(&server) {}

connection::connection(connection&& other) noexcept
    : queue(std::move(other.queue)), reader(std::move(other.reader)),
      checker(std::move(other.checker)), checked(other.checked),
      watches_output(other.watches_output), in_line(other.in_line), server_(other.server_),
      fd_(std::exchange(other.fd_, -1)), state_(other.state_), was_up_(other.was_up_),
      since_(other.since_), wait_(other.wait_), unsent_(std::move(other.unsent_)),
      unsent_offset_(other.unsent_offset_) {}

connection::~connection() {
  if (fd_ >= 0)
    close(fd_);
}

bool connection::open(nanos now) {
  fd_ = start_connect(*server_);
  if (fd_ < 0)
    return false;
  state_ = state::connecting;
  since_ = now;
  return true;
}

int connection::finish_open() {
  auto code = connect_outcome(fd_);
  if (code == 0) {
    state_ = state::up;
    was_up_ = true;
  }
  return code;
}

void connection::shut(nanos now) {
  if (fd_ >= 0)
    close(fd_);
  fd_ = -1;
  state_ = state::down;
  since_ = now + std::chrono::nanoseconds{wait_}.count();
  wait_ = std::min(wait_ * 2, limits::reconnect_max);
  reader.reset();
  checked = {};
  watches_output = false;
  unsent_.clear();
  unsent_offset_ = 0;
}

connection::io connection::send(std::string_view bytes) {
  auto n = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
  if (n < 0 && errno != EAGAIN && errno != EINTR)
    return io::failed;
  auto taken = n < 0 ? size_t{0} : static_cast<size_t>(n);
  if (taken == bytes.size())
    return io::done;
  unsent_.assign(bytes.substr(taken));
  unsent_offset_ = 0;
  return io::again;
}

connection::io connection::flush() {
  auto rest = std::string_view{unsent_}.substr(unsent_offset_);
  auto n = ::send(fd_, rest.data(), rest.size(), MSG_NOSIGNAL);
  if (n < 0)
    return errno == EAGAIN || errno == EINTR ? io::again : io::failed;
  unsent_offset_ += static_cast<size_t>(n);
  if (unsent_offset_ < unsent_.size())
    return io::again;
  unsent_.clear();
  unsent_offset_ = 0;
  return io::done;
}

} // namespace kai::bench
