#include "test/apps/bench/scripted_server.hpp"

#include <cstdlib>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>
#include <utility>
#include <vector>

#include <catch2/catch.hpp>

namespace kai::bench {

scripted_server::scripted_server(script what) : script_(std::move(what)) {
  listener_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof address;
  auto* generic = reinterpret_cast<sockaddr*>(&address);
  if (bind(listener_, generic, length) != 0 || listen(listener_, 64) != 0 ||
      getsockname(listener_, generic, &length) != 0)
    FAIL("no port to listen on");
  port_ = ntohs(address.sin_port);
  thread_ = std::thread{[this] { serve(); }};
}

scripted_server::~scripted_server() {
  stop_ = true;
  thread_.join();
  close(listener_);
}

void scripted_server::serve() {
  std::map<int, std::string> clients;
  while (!stop_) {
    std::vector<pollfd> waiting{{listener_, POLLIN, 0}};
    for (const auto& [fd, input] : clients)
      waiting.push_back({fd, POLLIN, 0});
    poll(waiting.data(), waiting.size(), 10);
    if (waiting[0].revents != 0)
      clients.emplace(accept(listener_, nullptr, nullptr), std::string{});
    for (size_t i = 1; i < waiting.size(); ++i) {
      auto fd = waiting[i].fd;
      if (waiting[i].revents == 0)
        continue;
      char buffer[4096];
      auto n = read(fd, buffer, sizeof buffer);
      auto& input = clients[fd];
      if (n > 0)
        input.append(buffer, static_cast<size_t>(n));
      if (n <= 0 || !take(fd, input)) {
        close(fd);
        clients.erase(fd);
      }
    }
  }
  for (const auto& [fd, input] : clients)
    close(fd);
}

bool scripted_server::take(int fd, std::string& input) {
  for (;;) {
    auto end = input.find("\r\n");
    if (end == std::string::npos)
      return true;
    auto line = input.substr(0, end);
    auto key = line.substr(4, line.find(' ', 4) - 4);
    if (line.starts_with("get ")) {
      input.erase(0, end + 2);
      if (!act(fd, key, nullptr))
        return false;
      continue;
    }
    auto bytes = std::strtoull(line.c_str() + line.rfind(' '), nullptr, 10);
    if (input.size() < end + 4 + bytes)
      return true;
    auto value = input.substr(end + 2, bytes);
    input.erase(0, end + 4 + bytes);
    if (!act(fd, key, &value))
      return false;
  }
}

bool scripted_server::act(int fd, const std::string& key, const std::string* value) {
  auto what = script_(requests_++, value != nullptr);
  std::string answer;
  switch (what) {
  case deed::close: return false;
  case deed::ignore: return true;
  case deed::garbage: answer = "VALUE what\r\n"; break;
  case deed::refuse: answer = "SERVER_ERROR 1 of 3 replicas answered\r\n"; break;
  default:
    if (value != nullptr) {
      if (what != deed::forget_write)
        items_[key] = *value;
      answer = "STORED\r\n";
    } else if (auto item = items_.find(key); item != items_.end()) {
      auto found = item->second;
      if (what == deed::corrupt)
        found.back() ^= 1;
      answer =
          "VALUE " + key + " 0 " + std::to_string(found.size()) + "\r\n" + found + "\r\nEND\r\n";
    } else {
      answer = "END\r\n";
    }
  }
  return send(fd, answer.data(), answer.size(), MSG_NOSIGNAL) ==
         static_cast<ssize_t>(answer.size());
}

} // namespace kai::bench
