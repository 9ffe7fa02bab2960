#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <caf/atom.hpp>
#include <caf/io/network/doorman_impl.hpp>
#include <caf/io/network/stream.hpp>
#include <caf/io/scribe.hpp>

#include "actors/socket_loop.hpp"

namespace kai {

/// To the broker of a connection: the client sends no more. It may read on.
using half_closed_atom = caf::atom_constant<caf::atom("halfclosed")>;

class socket_scribe;

/// The system's number of the connection's socket, which names it while it is open and may name
/// another one soon after.
inline socket_loop::native_socket socket_of(caf::io::connection_handle x) {
  return static_cast<socket_loop::native_socket>(x.id() & UINT32_MAX);
}

/// Ends the TCP connection: what the other side has not taken is dropped, and it sees a reset. The
/// loop finds the socket dead then and closes it.
void reset_connection(caf::io::connection_handle x);

/// One TCP connection on a socket_loop. CAF's own stream sends what the socket does not take at
/// once, and no more: it reads into a buffer of its own, which it fills with zeros before each
/// read.
class socket_stream final : public caf::io::network::stream {
public:
  using super = caf::io::network::stream;

  socket_stream(socket_loop& loop, socket_loop::native_socket fd, socket_scribe& owner)
      : super(loop, fd), loop_(loop), owner_(owner) {
    configure_read(caf::io::receive_policy::at_most(1));
  }

  void handle_event(caf::io::network::operation op) override;

  /// How much the broker wants of each message, from now on.
  void configure(const caf::io::receive_policy::config& config);

  /// Whether messages have an exact size, as those of CAF's protocol between nodes. What a client
  /// sends comes as it is there.
  bool reads_exactly() const { return reads_exactly_; }

  bool is_sending() const { return state_.writing; }

  /// A client's has the room that the last one left.
  std::vector<char>& wr_buf() {
    auto& out = super::wr_buf();
    if (out.capacity() == 0 && !reads_exactly_)
      loop_.lend_send_buffer(out);
    return out;
  }

  /// Sends what is in `wr_buf`; what the socket does not take follows when it can.
  void send_now(caf::io::network::stream_manager* manager);

private:
  /// The end of what a client sends is not the end of its connection, as CAF has it: answers may be
  /// due.
  void read();
  /// False: nobody is there to take it.
  bool hand_on(std::string_view bytes);
  /// Of what was to be sent and is. A node's keeps its room: all of them fill at once.
  void let_go_of(std::vector<char>& buffer);

  socket_loop& loop_;
  socket_scribe& owner_;
  bool reads_exactly_ = false;
  size_t read_bytes_ = 1;
  /// The beginning of a message whose rest has not come.
  std::vector<char> part_;
};

/// What brokers, and CAF's between nodes, know of a socket_stream.
class socket_scribe final : public caf::io::scribe {
public:
  socket_scribe(socket_loop& loop, socket_loop::native_socket fd);
  ~socket_scribe() override;

  /// It is a client's: the loop can tell whether it sends.
  void note_client();

  void configure_read(caf::io::receive_policy::config config) override;
  void ack_writes(bool enable) override { stream_.ack_writes(enable); }
  std::vector<char>& wr_buf() override { return stream_.wr_buf(); }
  std::vector<char>& rd_buf() override { return stream_.rd_buf(); }
  void graceful_shutdown() override;
  /// To a client at once; to a node at the end of the turn, so that what several actors have for it
  /// leaves together.
  void flush() override;
  std::string addr() const override;
  uint16_t port() const override;
  void add_to_loop() override { stream_.activate(this); }
  void remove_from_loop() override;

  /// For socket_loop: the turn ends.
  void send_now();
  /// For the stream: what its broker is to get as a message. False: nobody is there to take it.
  bool take(std::vector<char>& bytes);
  /// For the stream: the client sends no more.
  void on_end();

private:
  socket_loop& loop_;
  socket_stream stream_;
  /// Set for a client's.
  std::shared_ptr<socket_loop::client_streams> clients_;
  bool launched_ = false;
  bool flush_due_ = false;
};

/// A listening socket whose connections are socket_scribes.
class socket_doorman final : public caf::io::network::doorman_impl {
public:
  socket_doorman(socket_loop& loop, socket_loop::native_socket fd)
      : doorman_impl(loop, fd), loop_(loop) {}

  bool new_connection() override;

private:
  socket_loop& loop_;
};

} // namespace kai
