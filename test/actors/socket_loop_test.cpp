// long: the ways in which sockets go wrong, each over systems and servers made here
#include "actors/socket_loop.hpp"

#include <atomic>
#include <filesystem>
#include <future>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include <catch2/catch.hpp>

#include "actors/interfaces.hpp"
#include "actors/io_loop.hpp"
#include "actors/socket_stream.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <caf/actor_system.hpp>
#include <caf/actor_system_config.hpp>
#include <caf/event_based_actor.hpp>
#include <caf/io/broker.hpp>
#include <caf/io/middleman.hpp>
#include <caf/scoped_actor.hpp>

namespace {

using kai::socket_loop;

constexpr auto patience = std::chrono::seconds{10};

struct system_with_sockets {
  struct config : caf::actor_system_config {
    config() {
      load<caf::io::middleman, socket_loop>();
      set("scheduler.max-threads", uint64_t{1});
      set("scheduler.max-throughput", uint64_t{50});
      set("middleman.workers", uint64_t{0});
      set("middleman.max-consecutive-reads", uint64_t{4});
      set("middleman.enable-automatic-connections", false);
    }
  };

  config cfg;
  caf::actor_system system{cfg};
};

caf::behavior echo(caf::event_based_actor*, system_with_sockets*) {
  return {[](const std::string& x) { return x; }};
}

/// A client that is a plain socket.
struct client {
  explicit client(uint16_t port) : fd(::socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    timeval wait{10, 0};
    ::setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait);
    REQUIRE(::connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
  }
  ~client() { ::close(fd); }

  void send(const std::string& x) const {
    REQUIRE(::send(fd, x.data(), x.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(x.size()));
  }
  /// Until the other side closes, or nothing comes any more.
  std::string receive_all() const {
    std::string result;
    char bytes[4096];
    for (;;) {
      auto n = ::recv(fd, bytes, sizeof bytes, 0);
      if (n <= 0)
        return result;
      result.append(bytes, static_cast<size_t>(n));
    }
  }
  std::string receive(size_t size) const {
    std::string result(size, '\0');
    auto n = ::recv(fd, result.data(), size, MSG_WAITALL);
    result.resize(n < 0 ? 0 : static_cast<size_t>(n));
    return result;
  }

  int fd;
};

/// Keeps the loop from reading until it goes.
struct pause_of_loop {
  explicit pause_of_loop(caf::actor_system& sys) {
    auto wait = [](caf::io::broker* self, pause_of_loop* pause) -> caf::behavior {
      return {[=](caf::tick_atom) {
        pause->begun.set_value();
        pause->over.get_future().wait();
        self->quit();
      }};
    };
    broker = sys.middleman().spawn_broker(wait, this);
    caf::anon_send(broker, caf::tick_atom::value);
    begun.get_future().wait();
  }
  ~pause_of_loop() {
    over.set_value();
    caf::scoped_actor self{broker.home_system()};
    self->wait_for(broker);
  }

  std::promise<void> begun;
  std::promise<void> over;
  caf::actor broker;
};

/// Answers each byte b with `repeat` bytes b, 'q' with the end of the connection.
struct server {
  server(caf::actor_system& sys, size_t repeat) {
    auto on_client = [repeat](caf::io::broker* self,
                              caf::io::connection_handle handle) -> caf::behavior {
      self->configure_read(handle, caf::io::receive_policy::at_most(64));
      return {
          [=](const caf::io::new_data_msg& x) {
            for (auto byte : x.buf) {
              auto& out = self->wr_buf(x.handle);
              if (byte != 'q')
                out.insert(out.end(), repeat, byte);
              self->flush(x.handle);
              if (byte == 'q') {
                self->close(x.handle);
                self->quit();
              }
            }
          },
          [=](const caf::io::connection_closed_msg&) { self->quit(); },
          [=](kai::half_closed_atom) { self->quit(); },
      };
    };
    auto listen = [on_client](caf::io::broker* self, uint16_t wanted) -> caf::behavior {
      return {
          [=](caf::open_atom) -> caf::result<uint16_t> {
            auto bound = self->add_tcp_doorman(wanted, "127.0.0.1", true);
            if (!bound)
              return bound.error();
            return bound->second;
          },
          [=](const caf::io::new_connection_msg& x) { self->fork(on_client, x.handle); },
          [](const caf::io::acceptor_closed_msg&) {},
      };
    };
    broker = sys.middleman().spawn_broker(listen, uint16_t{0});
    caf::scoped_actor self{sys};
    self->request(broker, patience, caf::open_atom::value)
        .receive([this](uint16_t x) { port = x; }, [](caf::error&) {});
    REQUIRE(port != 0);
  }
  ~server() { caf::anon_send_exit(broker, caf::exit_reason::user_shutdown); }

  caf::actor broker;
  uint16_t port = 0;
};

} // namespace

TEST_CASE("messages of every size pass between two systems, in order") {
  system_with_sockets a;
  system_with_sockets b;
  auto echoing = b.system.spawn(echo, &b);
  auto port = b.system.middleman().publish(echoing, 0, "127.0.0.1", true);
  REQUIRE(port);
  auto remote = a.system.middleman().remote_actor("127.0.0.1", *port);
  REQUIRE(remote);
  std::vector<std::string> sent;
  // Around the size of the read buffer and of a header, small ones between large ones.
  for (size_t size :
       {0, 1, 19, 20, 21, 1000, 65000, 65535, 65536, 65537, 300'000, 3, 2'000'000, 0, 7})
    sent.emplace_back(size, static_cast<char>('a' + sent.size()));
  for (int i = 0; i < 200; ++i)
    sent.push_back(std::to_string(i));
  caf::scoped_actor self{a.system};
  for (auto& x : sent)
    self->send(*remote, x);
  for (auto& x : sent) {
    std::string got;
    self->receive([&](std::string& y) { got = std::move(y); },
                  caf::after(patience) >> [] { FAIL("no answer"); });
    REQUIRE(got.size() == x.size());
    REQUIRE(got == x);
  }
  caf::anon_send_exit(echoing, caf::exit_reason::user_shutdown);
}

TEST_CASE("what other threads post reaches a loop that sleeps and one that is busy") {
  system_with_sockets s;
  // Arguments, for without any CAF takes a reference to where none are.
  auto count_from = [](caf::io::broker*, int start) -> caf::behavior {
    auto count = std::make_shared<int>(start);
    return {[count](int x) { return *count += x; }};
  };
  auto counter = s.system.middleman().spawn_broker(count_from, 0);
  caf::scoped_actor self{s.system};
  auto add = [&](int x) {
    int result = -1;
    self->request(counter, patience, x).receive([&](int y) { result = y; }, [](caf::error&) {});
    return result;
  };
  // It falls asleep between any two.
  for (int i = 1; i <= 2000; ++i)
    REQUIRE(add(1) == i);
  std::vector<caf::actor> senders;
  for (int i = 0; i < 4; ++i)
    senders.push_back(s.system.spawn<caf::detached>(
        [counter](caf::event_based_actor* sender, int messages) {
          for (int j = 0; j < messages; ++j)
            sender->send(counter, 1);
        },
        5000));
  for (auto& x : senders)
    self->wait_for(x);
  // Of one sender messages keep their order, so these are behind.
  CHECK(add(0) == 22'000);
  caf::anon_send_exit(counter, caf::exit_reason::user_shutdown);
}

TEST_CASE("a client that sends in pieces is answered in order") {
  system_with_sockets s;
  server under_test{s.system, 3};
  client x{under_test.port};
  x.send("a");
  CHECK(x.receive(3) == "aaa");
  x.send("bc");
  x.send("d");
  CHECK(x.receive(9) == "bbbcccddd");
  // More than the broker reads at once.
  std::string many;
  std::string answers;
  for (int i = 0; i < 1000; ++i) {
    many.push_back(static_cast<char>('A' + i % 26));
    answers.append(3, many.back());
  }
  x.send(many);
  CHECK(x.receive(answers.size()) == answers);
}

TEST_CASE("what the socket does not take at once follows, and all before the connection ends") {
  system_with_sockets s;
  constexpr size_t repeat = 3'000'000;
  server under_test{s.system, repeat};
  client x{under_test.port};
  x.send("abq");
  // The server meets a full socket before anything is read.
  ::usleep(100'000);
  auto got = x.receive_all();
  CHECK(got.size() == 2 * repeat);
  CHECK((got == std::string(repeat, 'a') + std::string(repeat, 'b')));
}

TEST_CASE("a client that goes away while it is written to harms nobody else") {
  system_with_sockets s;
  server under_test{s.system, 1'000'000};
  for (int i = 0; i < 20; ++i)
    client{under_test.port}.send("abc");
  client x{under_test.port};
  x.send("zq");
  CHECK((x.receive_all() == std::string(1'000'000, 'z')));
}

namespace {

/// Notes when it was run.
struct noting_task final : kai::turn_task {
  noting_task(std::atomic<int>& step, std::atomic<int>& when) : step(step), when(when) {}
  void run() override { when = ++step; }

  std::atomic<int>& step;
  std::atomic<int>& when;
};

} // namespace

TEST_CASE("what waits for a round's end comes before what waits for the turn's") {
  system_with_sockets s;
  std::atomic<int> step = 0;
  std::atomic<int> at_round = 0;
  std::atomic<int> called = 0;
  std::atomic<int> at_turn = 0;
  auto task = std::make_shared<noting_task>(step, called);
  auto listen = [&](caf::io::broker*, std::atomic<int>* when) -> caf::behavior {
    return {[&step, when](kai::flush_batch_atom) { *when = ++step; }};
  };
  auto round = s.system.middleman().spawn_broker(listen, &at_round);
  auto turn = s.system.middleman().spawn_broker(listen, &at_turn);
  auto ask = [&](caf::io::broker* self, const caf::actor& round) -> caf::behavior {
    auto& loop = dynamic_cast<socket_loop&>(self->system().middleman().backend());
    loop.at_turn_end(caf::actor_cast<caf::strong_actor_ptr>(turn));
    loop.at_turn_end(task);
    loop.at_round_end(caf::actor_cast<caf::strong_actor_ptr>(round));
    return {};
  };
  s.system.middleman().spawn_broker(ask, round);
  for (int i = 0; i < 1000 && (at_round == 0 || at_turn == 0); ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds{10});
  CHECK(at_round == 1);
  CHECK(called == 2);
  CHECK(at_turn == 3);
  for (auto& x : {round, turn})
    caf::anon_send_exit(x, caf::exit_reason::user_shutdown);
}

TEST_CASE("what waits for a round's end may have others wait for it, too") {
  system_with_sockets s;
  std::atomic<int> step = 0;
  std::atomic<int> second = 0;
  std::atomic<int> at_turn = 0;
  auto listen = [&](caf::io::broker*, std::atomic<int>* when) -> caf::behavior {
    return {[&step, when](kai::flush_batch_atom) { *when = ++step; }};
  };
  auto later = s.system.middleman().spawn_broker(listen, &second);
  auto turn = s.system.middleman().spawn_broker(listen, &at_turn);
  auto first = [&](caf::io::broker* self, const caf::actor& later) -> caf::behavior {
    auto& loop = dynamic_cast<socket_loop&>(self->system().middleman().backend());
    loop.at_turn_end(caf::actor_cast<caf::strong_actor_ptr>(turn));
    loop.at_round_end(self->ctrl());
    return {[&loop, later](kai::flush_batch_atom) {
      loop.at_round_end(caf::actor_cast<caf::strong_actor_ptr>(later));
    }};
  };
  auto asking = s.system.middleman().spawn_broker(first, later);
  for (int i = 0; i < 1000 && (second == 0 || at_turn == 0); ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds{10});
  CHECK(second == 1);
  CHECK(at_turn == 2);
  for (auto& x : {later, turn, asking})
    caf::anon_send_exit(x, caf::exit_reason::user_shutdown);
}

TEST_CASE("what one round brings for a client comes to it at once") {
  system_with_sockets s;
  auto loop = std::make_shared<kai::io_loop>(s.system, std::make_shared<kai::node_context>());
  auto box = std::make_shared<kai::response_box>();
  std::atomic<size_t> lots = 0;
  std::atomic<size_t> taken = 0;
  auto take = [&](caf::io::broker*, kai::response_box* from) -> caf::behavior {
    return {[&, from](kai::flush_batch_atom) {
      ++lots;
      taken += std::exchange(from->ready, {}).size();
    }};
  };
  auto client = s.system.middleman().spawn_broker(take, box.get());
  auto answer = [&](caf::io::broker*, const caf::actor& to) -> caf::behavior {
    return {[&, to](caf::tick_atom, uint64_t from, uint64_t until) {
      for (auto tag = from; tag < until; ++tag)
        loop->answer(caf::actor_cast<kai::response_sink>(to), *box, {tag, kai::outcome{}});
    }};
  };
  auto node = s.system.middleman().spawn_broker(answer, client);
  auto wait_for = [&](size_t count) {
    for (int i = 0; i < 1000 && taken < count; ++i)
      std::this_thread::sleep_for(std::chrono::milliseconds{10});
  };
  caf::anon_send(node, caf::tick_atom::value, uint64_t{0}, uint64_t{5});
  wait_for(5);
  CHECK(taken == 5);
  CHECK(lots == 1);
  caf::anon_send(node, caf::tick_atom::value, uint64_t{5}, uint64_t{6});
  wait_for(6);
  CHECK(taken == 6);
  CHECK(lots == 2);
  for (auto& x : {client, node})
    caf::anon_send_exit(x, caf::exit_reason::user_shutdown);
}

TEST_CASE("a loop whose last socket goes in the middle of a turn ends") {
  std::optional<system_with_sockets> s{std::in_place};
  auto& loop = dynamic_cast<socket_loop&>(s->system.middleman().backend());
  auto nobody = [&] {
    caf::scoped_actor self{s->system};
    return caf::actor_cast<caf::strong_actor_ptr>(self);
  }();
  std::promise<void> begun;
  loop.post([&loop, &begun, nobody = std::move(nobody)] {
    // So the sockets are looked at again before the turn ends; all that stops the loop is there
    // then.
    loop.at_turn_end(nobody);
    begun.set_value();
    std::this_thread::sleep_for(std::chrono::milliseconds{200});
  });
  begun.get_future().wait();
  s.reset();
  SUCCEED();
}

TEST_CASE("connections have different names where the system numbers their sockets alike") {
  system_with_sockets s;
  auto& loop = dynamic_cast<socket_loop&>(s.system.middleman().backend());
  auto first = loop.name_connection(7);
  auto second = loop.name_connection(7);
  CHECK(first != second);
  CHECK(kai::socket_of(first) == 7);
  CHECK(kai::socket_of(second) == 7);
}

TEST_CASE("a node whose connection has the number of one that has just gone is not forgotten") {
  system_with_sockets s;
  auto& loop = dynamic_cast<socket_loop&>(s.system.middleman().backend());
  auto echoing = s.system.spawn(echo, &s);
  auto port = s.system.middleman().publish(echoing, 0, "127.0.0.1", true);
  REQUIRE(port);
  system_with_sockets far;
  auto sink = far.system.spawn(echo, &far);
  auto far_port = far.system.middleman().publish(sink, 0, "127.0.0.1", true);
  REQUIRE(far_port);
  auto remote_sink = s.system.middleman().remote_actor("127.0.0.1", *far_port);
  REQUIRE(remote_sink);
  // CAF's broker has its turn behind all that was posted before: so what it still has to do about a
  // connection that is gone comes late.
  std::atomic<bool> over = false;
  std::atomic<int> waiting = 0;
  std::thread busy{[&] {
    while (!over)
      if (waiting < 500) {
        ++waiting;
        loop.post([&waiting] { --waiting; });
        if (waiting % 50 == 0)
          caf::anon_send(*remote_sink, std::string{"x"});
      }
  }};
  std::atomic<int> connected = 0;
  std::atomic<int> answered = 0;
  auto come_and_go = [&] {
    for (int i = 0; i < 30; ++i) {
      system_with_sockets node;
      caf::scoped_actor self{node.system};
      auto remote = node.system.middleman().remote_actor("127.0.0.1", *port);
      if (!remote)
        continue;
      ++connected;
      self->request(*remote, std::chrono::seconds{2}, std::to_string(i))
          .receive([&](const std::string& x) { answered += x == std::to_string(i); },
                   [](caf::error&) {});
    }
  };
  std::vector<std::thread> nodes;
  for (int i = 0; i < 4; ++i)
    nodes.emplace_back(come_and_go);
  for (auto& x : nodes)
    x.join();
  over = true;
  busy.join();
  while (waiting > 0)
    std::this_thread::yield();
  CHECK(connected > 0);
  CHECK(answered == connected);
  for (auto& x : {echoing, sink})
    caf::anon_send_exit(x, caf::exit_reason::user_shutdown);
}

TEST_CASE("a client that ends with what makes the server close harms nobody else") {
  system_with_sockets s;
  server under_test{s.system, 1};
  client x{under_test.port};
  x.send("x");
  CHECK(x.receive(1) == "x");
  client last{under_test.port};
  last.send("l");
  CHECK(last.receive(1) == "l");
  // As much as is read at once, and the end is there to be read as well.
  std::optional<pause_of_loop> pause{s.system};
  x.send(std::string(63, 'a') + "q");
  ::shutdown(x.fd, SHUT_WR);
  pause.reset();
  CHECK(x.receive_all() == std::string(63, 'a'));
  last.send("zq");
  CHECK(last.receive_all() == "z");
}

TEST_CASE("a connection that is closed in the turn in which it came keeps no descriptor") {
  system_with_sockets s;
  auto listen = [](caf::io::broker* self) -> caf::behavior {
    return {
        [=](caf::open_atom) -> caf::result<uint16_t> {
          auto bound = self->add_tcp_doorman(0, "127.0.0.1", true);
          if (!bound)
            return bound.error();
          return bound->second;
        },
        [=](const caf::io::new_connection_msg& x) {
          self->configure_read(x.handle, caf::io::receive_policy::exactly(8));
          self->close(x.handle);
        },
    };
  };
  auto broker = s.system.middleman().spawn_broker(listen);
  caf::scoped_actor self{s.system};
  uint16_t port = 0;
  self->request(broker, patience, caf::open_atom::value)
      .receive([&](uint16_t x) { port = x; }, [](caf::error&) {});
  REQUIRE(port != 0);
  auto descriptors = [] {
    auto all = std::filesystem::directory_iterator{"/proc/self/fd"};
    return std::distance(begin(all), end(all));
  };
  auto before = descriptors();
  for (int i = 0; i < 50; ++i)
    CHECK(client{port}.receive_all().empty());
  // The last ones may be about to go.
  for (auto began = std::chrono::steady_clock::now();
       descriptors() > before && std::chrono::steady_clock::now() - began < patience;)
    std::this_thread::sleep_for(std::chrono::milliseconds{1});
  CHECK(descriptors() <= before);
  caf::anon_send_exit(broker, caf::exit_reason::user_shutdown);
}

TEST_CASE("an actor on the loop that sends to itself for ever leaves the sockets their turn") {
  system_with_sockets s;
  server under_test{s.system, 1};
  std::atomic<bool> over = false;
  auto turn = [](caf::io::broker* self, const std::atomic<bool>* over) -> caf::behavior {
    self->send(self, caf::tick_atom::value);
    return {[=](caf::tick_atom) {
      if (*over)
        self->quit();
      else
        self->send(self, caf::tick_atom::value);
    }};
  };
  auto restless = s.system.middleman().spawn_broker(turn, &over);
  client x{under_test.port};
  x.send("r");
  CHECK(x.receive(1) == "r");
  // Killed, it would be kept alive by what is in its mailbox.
  over = true;
  caf::scoped_actor self{s.system};
  self->wait_for(restless);
}
