// long: one client from its bytes to its answers, whose limits look at both
#include "actors/connection.hpp"

#include <algorithm>

#include <boost/container/small_vector.hpp>

#include <caf/io/middleman.hpp>
#include <caf/send.hpp>

#include "actors/client_answers.hpp"
#include "actors/client_auth.hpp"
#include "actors/client_commands.hpp"
#include "actors/socket_stream.hpp"
#include "protocol/limits.hpp"

namespace kai {

namespace {

using self_pointer = connection_self*;
using slot = connection_state::slot;
using memcache::verb;

/// To itself: the loop has taken note of the last halt or trigger.
using switched_atom = caf::atom_constant<caf::atom("switched")>;

void proceed(self_pointer self, bool all_taken = false);

/// How much one client may leave unsent.
size_t unsent_bytes_max(const connection_state& st) {
  return st.loop->unsent > limits::unsent_bytes_of_all_high ? limits::unsent_bytes_when_scarce
                                                            : limits::unsent_bytes_high;
}

/// As much of the buffer as the socket takes.
void send(self_pointer self) {
  auto& st = self->state;
  if (!self->wr_buf(st.handle).empty())
    self->flush(st.handle);
  st.note_backlog(self->wr_buf(st.handle).size());
}

/// Moves the answers whose turn has come to the socket's buffer.
void drain(self_pointer self) {
  auto& st = self->state;
  while (st.commands.front_finished()) {
    auto& s = st.commands.front();
    st.held_bytes -= s.text.size();
    if (!s.noreply && s.command != st.failed_command && !s.text.empty()) {
      auto& out = self->wr_buf(st.handle);
      out.insert(out.end(), s.text.begin(), s.text.end());
      st.loop->count.bytes_written += s.text.size();
    }
    if (s.failed)
      st.failed_command = s.command;
    st.commands.pop();
  }
}

/// Whether an answer may join those that wait: for the ones before it, or, when it is its turn, for
/// the socket. What the window allows for has room in any case.
bool has_room_for(const connection_state& st, bool is_front, size_t unsent) {
  auto waiting = unsent + (is_front ? 0 : st.held_bytes);
  return waiting <= unsent_bytes_max(st) + limits::answer_bytes_in_flight_max;
}

void on_response(self_pointer self, response& x) {
  auto& st = self->state;
  if (!st.commands.is_running(x.tag))
    return;
  auto& unsent = self->wr_buf(st.handle);
  auto is_front = st.commands.is_front(x.tag);
  if (std::holds_alternative<record>(x.what) && !has_room_for(st, is_front, unsent.size())) {
    send(self);
    if (!has_room_for(st, is_front, unsent.size())) {
      ++st.loop->count.reads_repeated;
      return st.commands.put_back(x.tag);
    }
  }
  auto& s = st.commands[x.tag];
  if (s.write)
    st.request_bytes -= s.write->value.size();
  if (s.reads_first && calls_for_write(st, s, x)) {
    s.reads_first = false;
    st.starting.requests.push_back({x.tag, s.key, s.write, 0});
    return;
  }
  // Straight to the socket when it is its turn already.
  auto direct = is_front && !s.noreply && s.command != st.failed_command;
  auto& out = direct ? unsent : s.text;
  auto before = out.size();
  write_response(st, s, x, out);
  auto added = out.size() - before;
  (direct ? st.loop->count.bytes_written : st.held_bytes) += added;
  st.answer_estimate = std::max({added, st.answer_estimate * 7 / 8, size_t{1}});
  if (s.failed && !st.last_failure.ends(s.command, x.tag))
    st.last_failure = {s.command, x.tag};
  st.commands.finish(x.tag);
  // Those behind it then find their turn come, too.
  if (direct)
    drain(self);
}

/// Oldest first: those whose turn it is then go straight to the socket.
void on_responses(self_pointer self, std::vector<response> xs) {
  boost::container::small_vector<response*, 64> in_order;
  for (auto& x : xs)
    in_order.push_back(&x);
  std::sort(in_order.begin(), in_order.end(), [](auto* a, auto* b) { return a->tag < b->tag; });
  for (auto* x : in_order)
    on_response(self, *x);
  proceed(self);
}

/// `write(slot)` appends the answer.
template <class Write>
void finish(self_pointer self, uint64_t sequence, Write write) {
  auto& st = self->state;
  if (!st.commands.is_running(sequence))
    return;
  auto& s = st.commands[sequence];
  write(s);
  st.held_bytes += s.text.size();
  st.commands.finish(sequence);
  proceed(self);
}

// --- starting ------------------------------------------------------------------------------------

void start_barrier(self_pointer self, uint64_t sequence, slot& s) {
  auto& st = self->state;
  auto fail = [self, sequence](caf::error& err) {
    if (err == caf::sec::request_timeout)
      err = failure(errc::timed_out, "the node is too busy to answer in time");
    finish(self, sequence, [&](slot& s) { write_failure(s, err, s.text); });
  };
  if (s.op == verb::flush_all) {
    ++st.loop->count.cmd_flush;
    self->request(st.services.topology, limits::service_deadline, flush_all_atom::value, s.delay)
        .then([self, sequence](bool) { finish(self, sequence, write_done); }, fail);
  } else if (s.op == verb::stats) {
    self->request(st.services.stats, limits::service_deadline, stats_atom::value, s.argument)
        .then(
            [self, sequence](const std::string& text) {
              finish(self, sequence, [&](slot& s) { write_stats(s, text); });
            },
            fail);
  } else {
    if (s.form.through == memcache::codec::binary)
      write_done(s);
    st.held_bytes += s.text.size();
    st.closing = true;
    st.commands.finish(sequence);
  }
}

/// How many commands may be under way.
size_t window(self_pointer self) {
  auto& st = self->state;
  auto unsent = self->wr_buf(st.handle).size();
  auto most = unsent_bytes_max(st);
  if (unsent > most)
    return 0;
  // Those that are finished wait for the oldest one, which may have to start still.
  if (unsent + st.held_bytes > most)
    return 1;
  return std::clamp<size_t>(limits::answer_bytes_in_flight_max / st.answer_estimate, 1,
                            limits::commands_in_flight_max);
}

void add_request(request_list& list, uint64_t sequence, const slot& s) {
  request x;
  x.tag = sequence;
  x.key = s.key;
  if (s.reads_first)
    x.quorum = s.extras.read_quorum;
  else
    x.write = s.write;
  list.requests.push_back(std::move(x));
}

/// Those that go on with a write are under way already, and are sent whatever the window.
void start_commands(self_pointer self, size_t window) {
  auto& st = self->state;
  st.starting.requests.reserve(std::min(window, st.commands.waiting()));
  st.commands.start_next(window, [&](uint64_t sequence, slot& s) {
    if (s.command == st.failed_command || st.last_failure.ends(s.command, sequence))
      // It would not reach the client.
      st.commands.finish(sequence);
    else if (s.key.empty())
      start_barrier(self, sequence, s);
    else
      add_request(st.starting, sequence, s);
  });
  if (st.starting.requests.empty())
    return;
  if (st.box && st.box->ready.empty())
    st.box->ready.reserve(st.starting.requests.size());
  st.loop->submit(caf::actor_cast<response_sink>(self), st.box, std::exchange(st.starting, {}));
}

/// Says so when the loop has taken note of a halt or trigger, which is before it runs what was
/// posted in the same turn.
void await_switch(self_pointer self) {
  auto& st = self->state;
  st.switching = true;
  auto who = caf::actor_cast<caf::actor>(self);
  self->system().middleman().backend().post(
      [who = std::move(who)] { caf::anon_send(who, switched_atom::value); });
}

/// Whether the client has so much under way, or takes so little, that more has to wait. `unsent`:
/// bytes of answers.
bool is_full(const connection_state& st, size_t unsent) {
  return unsent > unsent_bytes_max(st) || st.commands.size() > limits::commands_in_flight_max ||
         st.request_bytes > limits::request_bytes_in_flight_max;
}

/// Whether that is over by enough to read again.
bool is_low(const connection_state& st, size_t unsent) {
  return unsent <= std::min(limits::unsent_bytes_low, unsent_bytes_max(st)) &&
         st.commands.size() <= limits::commands_in_flight_max / 2 &&
         st.request_bytes <= limits::request_bytes_in_flight_max / 2;
}

/// Stops reading, and goes on.
void regulate(self_pointer self) {
  auto& st = self->state;
  if (st.client_done || st.switching)
    return;
  auto unsent = self->wr_buf(st.handle).size();
  auto full = !st.held_input.empty() || is_full(st, unsent);
  auto low = st.held_input.empty() && is_low(st, unsent);
  if (full && !st.paused) {
    st.paused = true;
    ++st.loop->count.reads_paused;
    self->halt(st.handle);
    await_switch(self);
  } else if (low && st.paused) {
    st.paused = false;
    self->trigger(st.handle);
    await_switch(self);
  }
}

/// A client that does not take its last answers must not hold its connection for ever.
void end_within(self_pointer self, caf::timespan patience) {
  auto end = self->home_system().clock().now() + patience;
  auto& due = self->state.ends_at;
  if (due && *due <= end)
    return;
  due = end;
  self->state.loop->abandon_at(end, self->address());
}

/// The system drops what the client has not taken, and tells it so by a reset.
void abandon(self_pointer self) {
  reset_connection(self->state.handle);
  self->close(self->state.handle);
  self->quit();
}

template <class Parser>
size_t take_commands(connection_state& st, Parser& parser, std::string_view input, size_t unsent) {
  size_t taken = 0;
  while (taken < input.size() && !st.closing && !is_full(st, unsent)) {
    auto piece = input.substr(taken, limits::client_bytes_at_once);
    parser.feed(piece);
    while (!st.closing && parser.next(st.parsed) != memcache::parse_status::input_pending)
      take_command(st, st.parsed);
    taken += piece.size();
  }
  return st.closing ? input.size() : taken;
}

/// Takes commands until the client has too much under way; how many bytes they were.
size_t take_commands(self_pointer self, std::string_view input) {
  auto& st = self->state;
  auto unsent = self->wr_buf(st.handle).size();
  return st.text ? take_commands(st, *st.text, input, unsent)
                 : take_commands(st, *st.binary, input, unsent);
}

/// Whether there were any.
bool take_held_input(self_pointer self) {
  auto& st = self->state;
  if (st.held_input.empty())
    return false;
  auto taken = take_commands(self, st.held_input);
  st.held_input.erase(0, taken);
  if (st.held_input.empty())
    std::string{}.swap(st.held_input);
  return taken > 0;
}

/// Answers what can be answered, starts what can be started, and ends the connection when all is
/// done. `all_taken`: the socket has taken all that was flushed before.
void proceed(self_pointer self, bool all_taken) {
  auto& st = self->state;
  // A barrier may finish as it starts, and the socket may take what left no room: both let those
  // behind start.
  for (auto again = true; again;) {
    again = take_held_input(self);
    auto before = st.commands.size();
    drain(self);
    auto allowed = window(self);
    start_commands(self, allowed);
    drain(self);
    send(self);
    again = again || st.commands.size() < before || (allowed <= 1 && window(self) > allowed);
  }
  // What is left in the buffer waits for the socket: only then it is worth a message per write to
  // know when it is through.
  if ((st.backlog > 0) != st.counting_writes) {
    st.counting_writes = st.backlog > 0;
    self->ack_writes(st.handle, st.counting_writes);
  }
  if (!(st.closing || st.client_done) || !st.commands.empty() || !st.held_input.empty())
    return regulate(self);
  // The client keeps its seat until it has taken everything.
  auto sockets = st.loop->sockets();
  if (st.backlog > 0 || (!all_taken && sockets && sockets->is_sending(st.handle))) {
    st.counting_writes = true;
    self->ack_writes(st.handle, true);
    return end_within(self, limits::last_answers_max);
  }
  self->close(st.handle);
  self->quit();
}

/// Reads more at once where the client sends more, and less again after a while of little.
void fit_read_size(self_pointer self, size_t got) {
  auto& st = self->state;
  auto size = st.read_bytes;
  if (got == size) {
    size = std::min(4 * size, limits::client_read_bytes_max);
    st.small_reads = 0;
  } else if (4 * got > size) {
    st.small_reads = 0;
  } else if (++st.small_reads >= 32) {
    size = std::max(size / 4, limits::client_read_bytes_min);
    st.small_reads = 0;
  }
  if (size == st.read_bytes)
    return;
  st.read_bytes = size;
  self->configure_read(st.handle, caf::io::receive_policy::at_most(size));
}

/// memcached tells the protocols apart by the first byte as well.
void choose_parser(connection_state& st, char first) {
  auto value_bytes_max = st.loop->context().options.memcache.max_item_size;
  if (static_cast<uint8_t>(first) == memcache::binary_request_magic)
    st.binary.emplace(value_bytes_max);
  else
    st.text.emplace(value_bytes_max);
  require_authentication(st, !st.authenticated);
}

void on_data(self_pointer self, const caf::io::new_data_msg& x) {
  auto& st = self->state;
  if (st.closing)
    return;
  st.loop->count.bytes_read += x.buf.size();
  st.heard = st.loop->context().wall_clock();
  fit_read_size(self, x.buf.size());
  if (!st.text && !st.binary)
    choose_parser(st, x.buf.front());
  std::string_view input{x.buf.data(), x.buf.size()};
  // Behind what waits already, in its turn.
  auto taken = st.held_input.empty() ? take_commands(self, input) : 0;
  st.held_input.append(input.substr(taken));
  proceed(self);
}

/// The client sends no more. What it asked for is still answered.
void on_half_closed(self_pointer self) {
  auto& st = self->state;
  if (std::exchange(st.client_done, true))
    return;
  if (!st.commands.empty() || !st.held_input.empty())
    end_within(self, limits::last_answers_max);
  proceed(self);
}

} // namespace

caf::behavior connection(connection_self* self, caf::io::connection_handle handle, io_loop_ptr loop,
                         client_services services) {
  auto& st = self->state;
  st.loop = std::move(loop);
  st.services = std::move(services);
  st.handle = handle;
  st.heard = st.loop->context().wall_clock();
  st.authenticated = !st.loop->credentials;
  st.commands = connection_state::pipeline{st.loop->context().incarnation};
  st.loop->clients.insert(&st);
  if (st.loop->sockets())
    st.box = std::make_shared<response_box>();
  self->set_default_handler(caf::drop);
  ++st.loop->count.curr_connections;
  ++st.loop->count.total_connections;
  self->attach_functor([loop = st.loop] { --loop->count.curr_connections; });
  self->configure_read(handle, caf::io::receive_policy::at_most(st.read_bytes));
  return {
      [self](const caf::io::new_data_msg& x) { on_data(self, x); },
      [self](response_list& xs) { on_responses(self, std::move(xs.responses)); },
      [self](flush_batch_atom) { on_responses(self, std::exchange(self->state.box->ready, {})); },
      [self](const caf::io::data_transferred_msg& x) { proceed(self, x.remaining == 0); },
      [self](switched_atom) {
        self->state.switching = false;
        regulate(self);
      },
      [self](stop_atom) {
        self->state.closing = true;
        end_within(self, limits::drain_deadline);
        proceed(self);
      },
      [self](abandon_atom) { abandon(self); },
      [self](half_closed_atom) { on_half_closed(self); },
      [self](const caf::io::connection_closed_msg&) { self->quit(); },
  };
}

} // namespace kai
