#include "actors/acceptor.hpp"

#include <cstring>

namespace kai {

namespace {

constexpr const char* too_many = "ERROR Too many open connections\r\n";

void refuse(acceptor_self* self, caf::io::connection_handle client) {
  ++self->state.loop->count.rejected_connections;
  self->write(client, std::strlen(too_many), too_many);
  self->flush(client);
  self->close(client);
}

void serve(acceptor_self* self, caf::io::connection_handle handle) {
  auto& st = self->state;
  auto client = self->fork(connection, handle, st.loop, st.services);
  self->monitor(client);
  st.connections.emplace(client.address(), client);
}

void on_new(acceptor_self* self, const caf::io::new_connection_msg& x) {
  auto& st = self->state;
  if (!st.seats->take())
    refuse(self, x.handle);
  else if (st.serving)
    serve(self, x.handle);
  else
    st.early.push_back(x.handle);
}

void listens(acceptor_self* self, caf::io::accept_handle x) {
  self->state.listener = x;
  self->state.loop->listener = x.id();
}

void end_if_idle(acceptor_self* self) {
  if (self->state.stopping && self->state.connections.empty())
    self->quit();
}

} // namespace

caf::behavior acceptor(acceptor_self* self, io_loop_ptr loop, std::shared_ptr<client_seats> seats) {
  self->state.loop = std::move(loop);
  self->state.seats = std::move(seats);
  self->set_default_handler(caf::drop);
  self->set_down_handler([self](caf::down_msg& x) {
    self->state.seats->give_back(self->state.connections.erase(x.source));
    end_if_idle(self);
  });
  return {
      [self](start_atom, const std::string& host, uint16_t port) -> caf::result<uint16_t> {
        auto bound = self->add_tcp_doorman(port, host.c_str(), true);
        if (!bound)
          return bound.error();
        listens(self, bound->first);
        return bound->second;
      },
      [self](start_atom, int socket) {
        auto listener = self->add_doorman(socket);
        listens(self, listener);
        return self->local_port(listener);
      },
      [self](const client_services& x) { self->state.services = x; },
      [self](start_atom) {
        self->state.serving = true;
        for (auto& x : std::exchange(self->state.early, {}))
          serve(self, x);
      },
      [self](stop_atom) {
        self->state.stopping = true;
        self->close(self->state.listener);
        self->state.loop->listener.reset();
        for (auto& [address, client] : self->state.connections)
          self->send(client, stop_atom::value);
        end_if_idle(self);
      },
      [self](const caf::io::new_connection_msg& x) { on_new(self, x); },
      [](const caf::io::acceptor_closed_msg&) {},
      [self](const caf::io::connection_closed_msg& x) {
        self->state.seats->give_back(std::erase(self->state.early, x.handle));
      },
  };
}

} // namespace kai
