#include "actors/socket_stream.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include <sys/socket.h>

#include <caf/policy/tcp.hpp>
#include <caf/send.hpp>

#include "protocol/limits.hpp"

namespace kai {

using caf::io::network::operation;
using caf::io::network::rw_state;

void reset_connection(caf::io::connection_handle x) {
  auto fd = socket_of(x);
  linger drop{1, 0};
  ::setsockopt(fd, SOL_SOCKET, SO_LINGER, &drop, sizeof drop);
  ::shutdown(fd, SHUT_RDWR);
}

void socket_stream::handle_event(operation op) {
  drained_ = false;
  rest_ = {};
  handle_event_impl(op, *this);
  if (std::exchange(ended_, false)) {
    // Or the socket would be found readable for ever.
    passivate();
    owner_.on_end();
  }
}

rw_state socket_stream::read_some(size_t& result, socket_loop::native_socket fd, void* to,
                                  size_t size) {
  if (rest_.empty()) {
    if (drained_)
      return rw_state::indeterminate;
    auto& buffer = loop_.read_buffer();
    if (!reads_exactly())
      return read_from_client(result, fd, to, size);
    if (size >= buffer.size()) {
      auto state = caf::policy::tcp::read_some(result, fd, to, size);
      drained_ = result < size;
      return state;
    }
    size_t got = 0;
    auto state = caf::policy::tcp::read_some(got, fd, buffer.data(), buffer.size());
    if (state != rw_state::success)
      return state;
    drained_ = got < buffer.size();
    rest_ = {buffer.data(), got};
  }
  result = std::min(size, rest_.size());
  std::memcpy(to, rest_.data(), result);
  rest_.remove_prefix(result);
  return rw_state::success;
}

rw_state socket_stream::read_from_client(size_t& result, socket_loop::native_socket fd, void* to,
                                         size_t size) {
  auto got = ::recv(fd, to, size, MSG_DONTWAIT);
  if (got < 0 && errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR)
    return rw_state::failure;
  ended_ = got == 0;
  result = got > 0 ? static_cast<size_t>(got) : 0;
  drained_ = result < size;
  return result > 0 ? rw_state::success : rw_state::indeterminate;
}

rw_state socket_stream::write_some(size_t& result, socket_loop::native_socket fd, const void* from,
                                   size_t size) {
  return caf::policy::tcp::write_some(result, fd, from, size);
}

void socket_stream::send_now(caf::io::network::stream_manager* manager) {
  auto& out = wr_buf();
  // Behind what waits for the socket already: CAF goes on with it by itself.
  if (out.empty() || state_.writing)
    return;
  auto sent = ::send(fd(), out.data(), out.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
  if (sent == static_cast<ssize_t>(out.size())) {
    out.clear();
    if (out.capacity() > limits::send_buffer_kept_max)
      std::vector<char>{}.swap(out);
    return;
  }
  // A failure shows again when the socket is next written to, and is handled there.
  if (sent > 0)
    out.erase(out.begin(), out.begin() + sent);
  flush(manager);
}

socket_scribe::socket_scribe(socket_loop& loop, socket_loop::native_socket fd)
    : scribe(loop.name_connection(fd)), loop_(loop), stream_(loop, fd, *this) {}

socket_scribe::~socket_scribe() {
  if (clients_)
    clients_->by_handle.erase(hdl().id());
}

void socket_scribe::note_client() {
  clients_ = loop_.clients();
  clients_->by_handle[hdl().id()] = &stream_;
}

void socket_scribe::on_end() {
  // What was read just before may have made the broker close.
  if (detached())
    return;
  caf::anon_send(caf::actor_cast<caf::actor>(parent()), half_closed_atom::value);
}

void socket_scribe::configure_read(caf::io::receive_policy::config config) {
  stream_.configure_read(config);
  if (!std::exchange(launched_, true))
    stream_.start(this);
}

void socket_scribe::flush() {
  if (!stream_.reads_exactly())
    return stream_.send_now(this);
  if (!std::exchange(flush_due_, true))
    loop_.flush_later(this);
}

void socket_scribe::send_now() {
  flush_due_ = false;
  stream_.send_now(this);
}

void socket_scribe::remove_from_loop() {
  stream_.passivate();
  // What begins and ends within one turn CAF's loop never hears of. So it does not tell the stream,
  // which would hold its connection, and the descriptor, for ever.
  if ((stream_.eventbf() & caf::io::network::input_mask) == 0)
    stream_.removed_from_loop(operation::read);
}

void socket_scribe::graceful_shutdown() {
  // Its broker and its stream may be all that hold it, and both let go of it.
  caf::intrusive_ptr<socket_scribe> keep{this};
  if (flush_due_)
    send_now();
  stream_.graceful_shutdown();
  detach(&stream_.backend(), false);
}

std::string socket_scribe::addr() const {
  auto x = caf::io::network::remote_addr_of_fd(stream_.fd());
  return x ? *x : std::string{};
}

uint16_t socket_scribe::port() const {
  auto x = caf::io::network::remote_port_of_fd(stream_.fd());
  return x ? *x : 0;
}

bool socket_doorman::new_connection() {
  auto client = loop_.new_scribe(acceptor_.accepted_socket());
  auto handle = client->hdl();
  static_cast<socket_scribe&>(*client).note_client();
  parent()->add_scribe(std::move(client));
  return doorman::new_connection(&loop_, handle);
}

} // namespace kai
