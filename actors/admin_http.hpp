#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include <caf/expected.hpp>

namespace kai {

/// The admin server of a node: HTTP/1.1 on a thread of its own, so that a question about a busy
/// node is still answered.
///
///     GET /healthz          content("healthz"): 200 and its text, or 503 and why not
///     GET /metrics          content("metrics"): Prometheus text format
///     GET /api/v1/cluster   content("status"): the document of `kai-admin status --json`
///     GET /                 a page that shows the cluster
///
/// It is bounded by limits::admin_*: connections, bytes of a request, and how long a client may
/// take.
class admin_http {
public:
  /// Called on the server's thread, for one request after the other; may block for a moment. An
  /// error becomes a 503 with its message.
  using content = std::function<caf::expected<std::string>(std::string command)>;

  /// Binds and serves. Port 0 takes any free one. Errors: errc::bad_configuration, which names
  /// admin.address or admin.port.
  static caf::expected<std::unique_ptr<admin_http>> start(const std::string& address, uint16_t port,
                                                          content source);

  /// Stops, as `stop`.
  ~admin_http();

  /// Closes the port and every connection. A call of the content under way is waited for.
  void stop();

  /// HOST:PORT, as bound.
  const std::string& endpoint() const { return endpoint_; }
  uint16_t port() const { return port_; }

private:
  class server;
  explicit admin_http(std::unique_ptr<server> impl);

  std::string endpoint_;
  uint16_t port_;
  std::unique_ptr<server> impl_;
};

/// The page at `/`: no other file, no other host.
std::string_view admin_page();

} // namespace kai
