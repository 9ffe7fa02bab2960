#include "actors/socket_stream.hpp"

#include <algorithm>
#include <cerrno>
#include <utility>

#include <sys/socket.h>

#include <caf/policy/tcp.hpp>
#include <caf/raise_error.hpp>
#include <caf/send.hpp>

#include "protocol/limits.hpp"

namespace kai {

using caf::io::network::operation;
using caf::io::network::rw_state;

namespace {

/// Reads of one socket before others have their turn.
constexpr int reads_max = 4;

} // namespace

void reset_connection(caf::io::connection_handle x) {
  auto fd = socket_of(x);
  linger drop{1, 0};
  ::setsockopt(fd, SOL_SOCKET, SO_LINGER, &drop, sizeof drop);
  ::shutdown(fd, SHUT_RDWR);
}

void socket_stream::handle_event(operation op) {
  if (op == operation::read)
    return read();
  caf::policy::tcp policy;
  handle_event_impl(op, policy);
}

void socket_stream::configure(const caf::io::receive_policy::config& config) {
  using flag = caf::io::receive_policy_flag;
  if (config.first == flag::at_least)
    CAF_CRITICAL("a socket_stream reads exactly so much, or at most");
  reads_exactly_ = config.first == flag::exactly;
  read_bytes_ = config.second;
}

void socket_stream::read() {
  // Its broker and the loop may let go of it meanwhile.
  caf::intrusive_ptr<socket_scribe> keep{&owner_};
  auto& buffer = loop_.read_buffer();
  for (int i = 0; i < reads_max; ++i) {
    auto room = reads_exactly_ ? buffer.size() : std::min(read_bytes_, buffer.size());
    auto got = ::recv(fd(), buffer.data(), room, MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR))
      return;
    if (got == 0 && !reads_exactly_) {
      // Passive, or the socket would be found readable for ever.
      passivate();
      return owner_.on_end();
    }
    if (got <= 0) {
      owner_.io_failure(&backend(), operation::read);
      return passivate();
    }
    auto size = static_cast<size_t>(got);
    if (!hand_on({buffer.data(), size}))
      return passivate();
    if (size < room)
      return;
  }
}

bool socket_stream::hand_on(std::string_view bytes) {
  while (!bytes.empty()) {
    // How much comes next, the one who takes a message says.
    auto whole = part_.empty() && (!reads_exactly_ || bytes.size() >= read_bytes_);
    auto piece = bytes.substr(0, reads_exactly_ ? read_bytes_ - part_.size() : bytes.size());
    bytes.remove_prefix(piece.size());
    auto& message = whole ? loop_.message_buffer() : part_;
    // A message says itself how long it is, which its first bytes do not prove.
    if (!whole)
      message.reserve(std::min(read_bytes_, limits::message_bytes_max));
    message.insert(message.end(), piece.begin(), piece.end());
    if (!whole && message.size() < read_bytes_)
      return true;
    auto taken = owner_.take(message);
    message.clear();
    if (!whole)
      let_go_of(message);
    if (!taken)
      return false;
  }
  return true;
}

void socket_stream::let_go_of(std::vector<char>& buffer) {
  if (!reads_exactly_)
    loop_.keep_send_buffer(buffer);
  else if (buffer.capacity() > limits::send_buffer_kept_max)
    std::vector<char>{}.swap(buffer);
}

void socket_stream::send_now(caf::io::network::stream_manager* manager) {
  auto& out = super::wr_buf();
  if (out.empty())
    return let_go_of(out);
  // Behind what waits for the socket already: CAF goes on with it by itself.
  if (state_.writing)
    return;
  auto sent = ::send(fd(), out.data(), out.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
  if (sent == static_cast<ssize_t>(out.size())) {
    out.clear();
    return let_go_of(out);
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

bool socket_scribe::take(std::vector<char>& bytes) {
  if (detached())
    return false;
  auto broker = parent_;
  msg().buf.swap(bytes);
  auto result = invoke_mailbox_element(&stream_.backend());
  msg().buf.swap(bytes);
  flush();
  return result;
}

void socket_scribe::on_end() {
  // What was read just before may have made the broker close.
  if (detached())
    return;
  caf::anon_send(caf::actor_cast<caf::actor>(parent()), half_closed_atom::value);
}

void socket_scribe::configure_read(caf::io::receive_policy::config config) {
  stream_.configure(config);
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
