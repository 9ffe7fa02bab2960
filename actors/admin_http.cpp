#include "actors/admin_http.hpp"

#include <algorithm>
#include <optional>
#include <thread>

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>

#include "actors/node_options.hpp"
#include "protocol/errc.hpp"
#include "protocol/limits.hpp"

namespace kai {

namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
using tcp = asio::ip::tcp;
using response = http::response<http::string_body>;
using request = http::request<http::empty_body>;

struct page {
  std::string_view path;
  /// Empty: the page is admin_page().
  std::string_view command;
  std::string_view type;
};

constexpr page pages[] = {{"/", "", "text/html; charset=utf-8"},
                          {"/healthz", "healthz", "text/plain; charset=utf-8"},
                          {"/metrics", "metrics", "text/plain; version=0.0.4; charset=utf-8"},
                          {"/api/v1/cluster", "status", "application/json"}};

void fill(response& reply, http::status status, std::string_view type, std::string text) {
  reply.result(status);
  reply.set(http::field::content_type, beast::string_view{type.data(), type.size()});
  reply.body() = std::move(text);
}

response answer(const request& asked, const admin_http::content& source) {
  response reply{http::status::ok, asked.version()};
  reply.keep_alive(asked.keep_alive());
  reply.set(http::field::cache_control, "no-store");
  reply.set("X-Content-Type-Options", "nosniff");
  constexpr std::string_view plain = "text/plain; charset=utf-8";
  std::string_view path{asked.target().data(), asked.target().size()};
  path = path.substr(0, path.find('?'));
  auto found = std::find_if(std::begin(pages), std::end(pages),
                            [&](const page& x) { return x.path == path; });
  if (found == std::end(pages)) {
    fill(reply, http::status::not_found, plain, "not found\n");
  } else if (asked.method() != http::verb::get && asked.method() != http::verb::head) {
    fill(reply, http::status::method_not_allowed, plain, "only GET and HEAD\n");
    reply.set(http::field::allow, "GET, HEAD");
  } else if (found->command.empty()) {
    fill(reply, http::status::ok, found->type, std::string{admin_page()});
  } else if (auto text = source(std::string{found->command})) {
    fill(reply, http::status::ok, found->type, std::move(*text));
  } else {
    fill(reply, http::status::service_unavailable, plain, message_of(text.error()) + "\n");
  }
  reply.prepare_payload();
  return reply;
}

/// One connection. Lives as long as an operation of it is under way; each has a deadline.
class session : public std::enable_shared_from_this<session> {
public:
  session(tcp::socket socket, const admin_http::content& source, size_t& open)
      : stream_(std::move(socket)), source_(source), open_(open) {
    ++open_;
  }

  ~session() { --open_; }

  void run() {
    parser_.emplace();
    parser_->header_limit(limits::admin_request_bytes_max);
    // No request to us has a body.
    parser_->body_limit(0);
    stream_.expires_after(limits::admin_deadline);
    http::async_read(
        stream_, buffer_, *parser_,
        [self = shared_from_this()](beast::error_code err, size_t) { self->on_request(err); });
  }

private:
  void on_request(beast::error_code err) {
    if (err == http::error::end_of_stream || err == beast::error::timeout ||
        err == asio::error::operation_aborted || err == asio::error::connection_reset)
      return;
    if (err) {
      reply_ = response{http::status::bad_request, 11};
      reply_.keep_alive(false);
      fill(reply_, http::status::bad_request, "text/plain; charset=utf-8", err.message() + "\n");
      reply_.prepare_payload();
      return write(false);
    }
    auto asked = parser_->release();
    reply_ = answer(asked, source_);
    write(asked.method() == http::verb::head);
  }

  void write(bool head) {
    stream_.expires_after(limits::admin_deadline);
    auto done = [self = shared_from_this()](beast::error_code err, size_t) {
      if (!err && self->reply_.keep_alive())
        self->run();
      else
        self->close();
    };
    serializer_.emplace(reply_);
    if (head)
      http::async_write_header(stream_, *serializer_, std::move(done));
    else
      http::async_write(stream_, *serializer_, std::move(done));
  }

  void close() {
    beast::error_code ignored;
    stream_.socket().shutdown(tcp::socket::shutdown_both, ignored);
  }

  beast::tcp_stream stream_;
  const admin_http::content& source_;
  size_t& open_;
  beast::flat_buffer buffer_{limits::admin_request_bytes_max};
  std::optional<http::request_parser<http::empty_body>> parser_;
  response reply_;
  std::optional<http::response_serializer<http::string_body>> serializer_;
};

caf::error bind_failure(std::string_view option, const std::string& where,
                        const beast::error_code& err) {
  return failure(errc::bad_configuration, std::string{option} + ": cannot listen on " + where +
                                              " for HTTP: " + err.message());
}

} // namespace

class admin_http::server {
public:
  explicit server(content source) : source_(std::move(source)) {}

  caf::error listen(const std::string& address, uint16_t port) {
    auto where = to_host_port(address, port);
    beast::error_code err;
    tcp::resolver resolver{loop_};
    auto flags = tcp::resolver::passive | tcp::resolver::numeric_service;
    auto found = resolver.resolve(address, std::to_string(port), flags, err);
    if (err || found.empty())
      return bind_failure("admin.address", where, err);
    auto target = found.begin()->endpoint();
    acceptor_.open(target.protocol(), err);
    if (!err)
      acceptor_.set_option(asio::socket_base::reuse_address(true), err);
    if (!err)
      acceptor_.bind(target, err);
    if (!err)
      acceptor_.listen(asio::socket_base::max_listen_connections, err);
    if (err == asio::error::address_in_use || err == asio::error::access_denied)
      return bind_failure("admin.port", where, err);
    if (err)
      return bind_failure("admin.address", where, err);
    port_ = acceptor_.local_endpoint(err).port();
    endpoint_ = to_host_port(address, port_);
    return caf::none;
  }

  void run() {
    accept();
    thread_ = std::thread{[this] { loop_.run(); }};
  }

  /// The loop's handlers go with it, and with them their connections.
  ~server() {
    loop_.stop();
    if (thread_.joinable())
      thread_.join();
  }

  const std::string& endpoint() const { return endpoint_; }
  uint16_t port() const { return port_; }

private:
  void accept() {
    acceptor_.async_accept([this](beast::error_code err, tcp::socket socket) {
      if (err == asio::error::operation_aborted)
        return;
      if (err)
        return accept_later();
      if (open_ < limits::admin_connections_max)
        std::make_shared<session>(std::move(socket), source_, open_)->run();
      accept();
    });
  }

  /// Without file descriptors every accept fails at once: no reason to spin.
  void accept_later() {
    pause_.expires_after(std::chrono::milliseconds{100});
    pause_.async_wait([this](beast::error_code err) {
      if (!err)
        accept();
    });
  }

  content source_;
  size_t open_ = 0;
  std::string endpoint_;
  uint16_t port_ = 0;
  // The loop is destroyed before what its handlers refer to.
  asio::io_context loop_{1};
  tcp::acceptor acceptor_{loop_};
  asio::steady_timer pause_{loop_};
  std::thread thread_;
};

caf::expected<std::unique_ptr<admin_http>> admin_http::start(const std::string& address,
                                                             uint16_t port, content source) {
  auto impl = std::make_unique<server>(std::move(source));
  if (auto err = impl->listen(address, port))
    return err;
  impl->run();
  return std::unique_ptr<admin_http>{new admin_http{std::move(impl)}};
}

admin_http::admin_http(std::unique_ptr<server> impl)
    : endpoint_(impl->endpoint()), port_(impl->port()), impl_(std::move(impl)) {}

admin_http::~admin_http() = default;

void admin_http::stop() { impl_.reset(); }

} // namespace kai
