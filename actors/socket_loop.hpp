#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include <caf/io/network/default_multiplexer.hpp>

#include "actors/turn_task.hpp"

namespace kai {

class socket_scribe;
class socket_stream;

/// CAF's I/O loop, with fewer system calls per request. What it does differently:
///
/// * A turn is: the socket events there are, then every actor on the loop that has messages until
///   none has (`rounds_max` times at most), what waited for that (`at_round_end`) included; the
///   same again while the sockets have brought more meanwhile (`looks_max` times); then what waits
///   for the turn's end
///   (`at_turn_end`), and one send for each connection to a node. CAF's own loop looks at the
///   sockets again after each hop of a message.
/// * A flush tries to send at once; only what the socket does not take waits for the socket. CAF's
///   streams register for writing first, and unregister behind it: two calls of epoll_ctl.
/// * A stream does not read again after it got less than it asked for. All are read into one
///   buffer, from which the messages between nodes (CAF's header and payload, each of an exact
///   size) are taken; CAF's own streams read each part by itself, into a buffer that each keeps.
///
/// Made by CAF's middleman: `config.load<caf::io::middleman, socket_loop>()`. Lives on one thread,
/// as its base does; `exec_later` may be called from any.
class socket_loop final : public caf::io::network::default_multiplexer {
public:
  using native_socket = caf::io::network::native_socket;

  explicit socket_loop(caf::actor_system* sys);
  ~socket_loop() override;

  void exec_later(caf::resumable* ptr) override;
  void run() override;

  caf::io::scribe_ptr new_scribe(native_socket fd) override;
  caf::expected<caf::io::scribe_ptr> new_tcp_scribe(const std::string& host,
                                                    uint16_t port) override;
  caf::io::doorman_ptr new_doorman(native_socket fd) override;
  caf::expected<caf::io::doorman_ptr> new_tcp_doorman(uint16_t port, const char* in,
                                                      bool reuse_addr) override;

  /// A handle that no other connection of this loop has had: CAF's own is the socket's number
  /// alone, and what CAF still has to do about one that was closed would hit the one that got its
  /// number. From any thread.
  caf::io::connection_handle name_connection(native_socket fd);

  /// Sends `who` a flush_batch_atom when the turn ends: its batch then has all that came with it.
  /// On the loop's thread only.
  void at_turn_end(caf::strong_actor_ptr who);

  /// Has `what` run when the turn ends, before those messages are sent. On the loop's thread only.
  void at_turn_end(std::shared_ptr<turn_task> what);

  /// The same, but before the sockets are looked at once more.
  void at_round_end(caf::strong_actor_ptr who);

  /// Sends what the connection has to send at the end of the turn.
  void flush_later(socket_scribe* x);

  /// Clients' connections, on the loop's thread only. `is_sending`: the socket has not yet taken
  /// all that was flushed to it, whatever wr_buf says.
  struct client_streams {
    std::unordered_map<int64_t, const socket_stream*> by_handle;
  };
  const std::shared_ptr<client_streams>& clients() { return clients_; }
  bool is_sending(caf::io::connection_handle client) const;

  /// What one read brings when it is taken apart afterwards. Of whichever stream is being read:
  /// each leaves nothing behind.
  std::vector<char>& read_buffer() { return read_buffer_; }

  /// Buffers that all connections take turns with, so that they stay in the processor's cache and
  /// an idle connection holds none: of a message to its broker, and of what is to be sent.
  std::vector<char>& message_buffer() { return message_buffer_; }
  void lend_send_buffer(std::vector<char>& to) { to.swap(send_buffer_); }
  /// `from` is empty, and has no room afterwards.
  void keep_send_buffer(std::vector<char>& from);

private:
  using resumable_ptr = caf::intrusive_ptr<caf::resumable>;

  void run_ready();
  void run_round();
  static void flush(std::vector<caf::strong_actor_ptr>& all);
  /// Something waits for the turn's end.
  bool end_is_due() const { return !waiting_.empty() || !tasks_.empty(); }
  void end_turn();
  void flush_all();

  std::vector<resumable_ptr> ready_;
  std::vector<resumable_ptr> running_;
  std::vector<caf::strong_actor_ptr> starting_;
  std::vector<caf::strong_actor_ptr> waiting_;
  std::vector<std::shared_ptr<turn_task>> tasks_;
  std::vector<caf::intrusive_ptr<socket_scribe>> unflushed_;
  /// Shared, for a connection may end after the loop.
  std::shared_ptr<client_streams> clients_ = std::make_shared<client_streams>();
  std::vector<char> read_buffer_;
  std::vector<char> message_buffer_;
  std::vector<char> send_buffer_;
  std::atomic<int64_t> connections_{0};
  size_t throughput_;
};

} // namespace kai
