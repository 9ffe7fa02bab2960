#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <thread>

namespace kai::bench {

/// A memcache server on a free loopback port, small and slow, that can misbehave. One thread.
class scripted_server {
public:
  /// What to do with the request of that number, counted from 0 over all connections.
  enum class deed { serve, refuse, close, ignore, garbage, corrupt, forget_write };
  using script = std::function<deed(uint64_t number, bool is_set)>;

  explicit scripted_server(script what);
  ~scripted_server();

  uint16_t port() const { return port_; }
  uint64_t requests() const { return requests_; }

private:
  void serve();
  /// False: close the connection.
  bool take(int fd, std::string& input);
  bool act(int fd, const std::string& key, const std::string* value);

  script script_;
  int listener_ = -1;
  uint16_t port_ = 0;
  std::atomic<uint64_t> requests_{0};
  std::atomic<bool> stop_{false};
  std::map<std::string, std::string> items_;
  std::thread thread_;
};

} // namespace kai::bench
