#include "actors/admin_http.hpp"

#include <atomic>

#include <boost/asio/connect.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/write.hpp>
#include <catch2/catch.hpp>

#include "protocol/errc.hpp"
#include "protocol/limits.hpp"

using namespace kai;
using boost::asio::ip::tcp;

namespace {

caf::expected<std::string> content(std::string command) {
  if (command == "healthz")
    return "ok";
  if (command == "metrics")
    return "kai_up 1\n";
  if (command == "status")
    return R"({"epoch":7})";
  return failure(errc::refused, "unexpected: " + command);
}

class client {
public:
  explicit client(const admin_http& server) {
    socket.connect({boost::asio::ip::address_v4::loopback(), server.port()});
  }

  void send(const std::string& text) { boost::asio::write(socket, boost::asio::buffer(text)); }

  /// Everything until the server closes.
  std::string rest() {
    std::string result;
    boost::system::error_code err;
    boost::asio::read(socket, boost::asio::dynamic_buffer(result), err);
    return result;
  }

  std::string read(size_t bytes) {
    std::string result(bytes, '\0');
    boost::asio::read(socket, boost::asio::buffer(result));
    return result;
  }

  boost::asio::io_context loop;
  tcp::socket socket{loop};
};

std::unique_ptr<admin_http> started(admin_http::content source = content) {
  auto result = admin_http::start("127.0.0.1", 0, std::move(source));
  REQUIRE(result);
  return std::move(*result);
}

std::string get(const admin_http& server, const std::string& path,
                const std::string& method = "GET") {
  client c{server};
  c.send(method + " " + path + " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
  return c.rest();
}

} // namespace

TEST_CASE("the admin server answers each of its pages with its type") {
  auto server = started();
  CHECK(server->endpoint() == "127.0.0.1:" + std::to_string(server->port()));
  auto health = get(*server, "/healthz");
  CHECK_THAT(health, Catch::StartsWith("HTTP/1.1 200 OK\r\n") && Catch::EndsWith("\r\n\r\nok"));
  CHECK_THAT(get(*server, "/metrics?x=1"),
             Catch::Contains("text/plain; version=0.0.4") && Catch::EndsWith("kai_up 1\n"));
  CHECK_THAT(get(*server, "/api/v1/cluster"),
             Catch::Contains("application/json") && Catch::EndsWith(R"({"epoch":7})"));
  CHECK_THAT(get(*server, "/"), Catch::Contains("text/html") && Catch::Contains("/api/v1/cluster"));
  CHECK_THAT(get(*server, "/favicon.ico"), Catch::StartsWith("HTTP/1.1 404"));
  CHECK_THAT(get(*server, "/healthz/"), Catch::StartsWith("HTTP/1.1 404"));
}

TEST_CASE("what the node cannot answer is a 503 that says why") {
  auto server = started([](std::string) -> caf::expected<std::string> {
    return failure(errc::not_a_member, "still joining");
  });
  CHECK_THAT(get(*server, "/healthz"),
             Catch::StartsWith("HTTP/1.1 503") && Catch::EndsWith("\r\n\r\nstill joining\n"));
}

TEST_CASE("the admin server only reads") {
  auto server = started();
  CHECK_THAT(get(*server, "/healthz", "DELETE"), Catch::StartsWith("HTTP/1.1 405"));
  auto head = get(*server, "/healthz", "HEAD");
  CHECK_THAT(head, Catch::StartsWith("HTTP/1.1 200") && Catch::EndsWith("\r\n\r\n"));
  client c{*server};
  c.send("GET /healthz HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello");
  CHECK_THAT(c.rest(), Catch::StartsWith("HTTP/1.1 400"));
}

TEST_CASE("a connection may ask again and again") {
  auto server = started();
  client c{*server};
  std::string first;
  for (int i = 0; i < 3; ++i) {
    c.send("GET /healthz HTTP/1.1\r\n\r\n");
    if (first.empty()) {
      while (!first.ends_with("\r\n\r\nok"))
        first += c.read(1);
    } else {
      CHECK(c.read(first.size()) == first);
    }
  }
}

TEST_CASE("what is no request, or too long a one, gets an error and a closed connection") {
  auto server = started();
  client garbage{*server};
  garbage.send("set a 0 0 1\r\nb\r\n");
  CHECK_THAT(garbage.rest(), Catch::StartsWith("HTTP/1.1 400"));
  client endless{*server};
  boost::system::error_code err;
  auto text = "GET /" + std::string(2 * limits::admin_request_bytes_max, 'x');
  boost::asio::write(endless.socket, boost::asio::buffer(text), err);
  auto reply = endless.rest();
  CHECK((reply.empty() || reply.starts_with("HTTP/1.1 400")));
  CHECK_THAT(get(*server, "/healthz"), Catch::StartsWith("HTTP/1.1 200"));
}

TEST_CASE("one connection too many is closed, and there is room again when others go") {
  auto server = started();
  std::vector<std::unique_ptr<client>> clients;
  for (size_t i = 0; i < limits::admin_connections_max; ++i)
    clients.push_back(std::make_unique<client>(*server));
  client late{*server};
  CHECK(late.rest().empty());
  clients.front()->socket.close();
  // The server learns of it in its own time.
  std::string reply;
  for (int i = 0; i < 1000 && reply.empty(); ++i) {
    client again{*server};
    boost::system::error_code err;
    boost::asio::write(again.socket,
                       boost::asio::buffer(std::string{"GET /healthz HTTP/1.0\r\n\r\n"}), err);
    reply = again.rest();
  }
  CHECK_THAT(reply, Catch::StartsWith("HTTP/1.1 200") || Catch::StartsWith("HTTP/1.0 200"));
}

TEST_CASE("a taken port and a foreign address name their option") {
  auto server = started();
  auto taken = admin_http::start("127.0.0.1", server->port(), content);
  REQUIRE_FALSE(taken);
  CHECK(taken.error() == errc::bad_configuration);
  CHECK_THAT(message_of(taken.error()),
             Catch::StartsWith("admin.port: cannot listen on 127.0.0.1:"));
  auto foreign = admin_http::start("192.0.2.1", 0, content);
  REQUIRE_FALSE(foreign);
  CHECK_THAT(message_of(foreign.error()), Catch::StartsWith("admin.address: "));
  auto nonsense = admin_http::start("no..such..host", 0, content);
  REQUIRE_FALSE(nonsense);
  CHECK_THAT(message_of(nonsense.error()), Catch::StartsWith("admin.address: "));
}

TEST_CASE("stopping the admin server closes its connections and frees its port") {
  auto server = started();
  client waiting{*server};
  get(*server, "/healthz");
  server->stop();
  CHECK(waiting.rest().empty());
  CHECK(admin_http::start("127.0.0.1", server->port(), content));
}
