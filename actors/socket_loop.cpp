#include "actors/socket_loop.hpp"

#include <thread>
#include <utility>

#include <caf/actor_system_config.hpp>
#include <caf/config_value.hpp>
#include <caf/defaults.hpp>
#include <caf/send.hpp>

#include "actors/interfaces.hpp"
#include "actors/socket_stream.hpp"
#include "protocol/limits.hpp"

namespace kai {

namespace {

/// Hops of messages in one turn before the sockets are looked at again. Longer than any request's
/// way through a node, so what reaches it is an actor that keeps sending to itself.
constexpr int rounds_max = 32;

/// How often the sockets are looked at again before what waits for the turn's end leaves. More of
/// them make batches no larger.
constexpr int looks_max = 8;

} // namespace

socket_loop::socket_loop(caf::actor_system* sys)
    : default_multiplexer(sys), read_buffer_(limits::node_read_bytes),
      throughput_(caf::get_or(sys->config(), "scheduler.max-throughput",
                              caf::defaults::scheduler::max_throughput)) {}

socket_loop::~socket_loop() = default;

void socket_loop::exec_later(caf::resumable* ptr) {
  auto subtype = ptr->subtype();
  auto ours = subtype == caf::resumable::io_actor || subtype == caf::resumable::function_object;
  if (ours && std::this_thread::get_id() == thread_id())
    ready_.emplace_back(ptr, false);
  else
    default_multiplexer::exec_later(ptr);
}

void socket_loop::run() {
  while (num_socket_handlers() > 0) {
    run_round();
    // What came while this turn ran makes its batches larger.
    for (int i = 0; i < looks_max && end_is_due() && poll_once(false); ++i)
      run_round();
    end_turn();
    // The last handler may have gone in one of the looks above: then nothing would wake the loop.
    poll_once(num_socket_handlers() > 0 && ready_.empty() && starting_.empty() && !end_is_due());
  }
}

void socket_loop::flush(std::vector<caf::strong_actor_ptr>& all) {
  for (auto& x : std::exchange(all, {}))
    caf::anon_send(caf::actor_cast<caf::actor>(x), flush_batch_atom::value);
}

void socket_loop::run_round() {
  run_ready();
  // What they do may be for others of them.
  for (int i = 0; i < rounds_max && !starting_.empty(); ++i) {
    flush(starting_);
    run_ready();
  }
}

void socket_loop::end_turn() {
  for (auto& x : std::exchange(tasks_, {}))
    x->run();
  flush(waiting_);
  run_ready();
  flush_all();
}

void socket_loop::run_ready() {
  for (int round = 0; !ready_.empty() && round < rounds_max; ++round) {
    running_.swap(ready_);
    for (auto& x : running_) {
      switch (x->resume(this, throughput_)) {
      case caf::resumable::resume_later: ready_.push_back(std::move(x)); break;
      // Those are not counted.
      case caf::resumable::shutdown_execution_unit: x.release(); break;
      default: x = nullptr;
      }
    }
    running_.clear();
    // Before what is posted after a change of a socket's events runs, the change is made.
    handle_internal_events();
  }
}

void socket_loop::flush_all() {
  for (auto& x : unflushed_)
    x->send_now();
  unflushed_.clear();
  handle_internal_events();
}

caf::io::connection_handle socket_loop::name_connection(native_socket fd) {
  return caf::io::connection_handle::from_int(++connections_ << 32 | fd);
}

void socket_loop::at_turn_end(caf::strong_actor_ptr who) { waiting_.push_back(std::move(who)); }

void socket_loop::at_turn_end(std::shared_ptr<turn_task> what) {
  tasks_.push_back(std::move(what));
}

void socket_loop::at_round_end(caf::strong_actor_ptr who) { starting_.push_back(std::move(who)); }

bool socket_loop::is_sending(caf::io::connection_handle client) const {
  auto found = clients_->by_handle.find(client.id());
  return found != clients_->by_handle.end() && found->second->is_sending();
}

void socket_loop::keep_send_buffer(std::vector<char>& from) {
  if (from.capacity() > send_buffer_.capacity() && from.capacity() <= limits::send_buffer_kept_max)
    from.swap(send_buffer_);
  std::vector<char>{}.swap(from);
}

void socket_loop::flush_later(socket_scribe* x) { unflushed_.emplace_back(x); }

caf::io::scribe_ptr socket_loop::new_scribe(native_socket fd) {
  // A host that is gone without a word must not hold its connections for ever.
  caf::io::network::keepalive(fd, true);
  return caf::make_counted<socket_scribe>(*this, fd);
}

caf::expected<caf::io::scribe_ptr> socket_loop::new_tcp_scribe(const std::string& host,
                                                               uint16_t port) {
  auto fd = caf::io::network::new_tcp_connection(host, port);
  if (!fd)
    return std::move(fd.error());
  return new_scribe(*fd);
}

caf::io::doorman_ptr socket_loop::new_doorman(native_socket fd) {
  return caf::make_counted<socket_doorman>(*this, fd);
}

caf::expected<caf::io::doorman_ptr> socket_loop::new_tcp_doorman(uint16_t port, const char* in,
                                                                 bool reuse_addr) {
  auto fd = caf::io::network::new_tcp_acceptor_impl(port, in, reuse_addr);
  if (!fd)
    return std::move(fd.error());
  return new_doorman(*fd);
}

} // namespace kai
