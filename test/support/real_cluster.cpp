#include "test/support/real_cluster.hpp"

#include <chrono>
#include <cstdlib>
#include <stdexcept>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "protocol/errc.hpp"

namespace kai {

using namespace std::chrono_literals;

real_cluster::real_cluster(size_t nodes, node_options base) : base_(std::move(base)) {
  std::string name = std::filesystem::temp_directory_path() / "kai-real-XXXXXX";
  if (::mkdtemp(name.data()) == nullptr)
    throw std::runtime_error("no temporary directory");
  directory_ = name;
  members_.resize(nodes);
  for (size_t i = 0; i < nodes; ++i)
    start(i);
}

real_cluster::~real_cluster() {
  members_.clear();
  std::error_code ignored;
  std::filesystem::remove_all(directory_, ignored);
}

void real_cluster::stop(size_t index) { members_[index].node.reset(); }

void real_cluster::kill(size_t index) {
  members_[index].node->abandon();
  members_[index].node.reset();
}

void real_cluster::start(size_t index) {
  auto options = base_;
  options.node.name = "n" + std::to_string(index);
  options.memcache.port = 0;
  options.cluster.port = 0;
  options.storage.directory = directory_ / options.node.name;
  for (auto& x : members_)
    if (x.node)
      options.cluster.seeds.push_back(x.endpoints.cluster);
  auto& mine = members_[index];
  mine.node = std::make_unique<hosted_node>(options, caf_settings{});
  auto deadline = std::chrono::steady_clock::now() + 60s;
  auto outcome = mine.node->outcome();
  while (!outcome && std::chrono::steady_clock::now() < deadline) {
    std::this_thread::sleep_for(5ms);
    outcome = mine.node->outcome();
  }
  if (!outcome || !*outcome) {
    mine.node.reset();
    throw std::runtime_error(options.node.name + " did not start: " +
                             (outcome ? message_of(outcome->error()) : "it still tries"));
  }
  mine.endpoints = **outcome;
}

memcache_client::memcache_client(const std::string& address)
    : socket_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
  auto target = parse_host_port(address);
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(target ? target->port : 0);
  timeval patience{10, 0};
  ::setsockopt(socket_, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  if (!target || ::inet_pton(AF_INET, target->host.c_str(), &to.sin_addr) != 1 ||
      ::connect(socket_, reinterpret_cast<sockaddr*>(&to), sizeof to) != 0) {
    ::close(socket_);
    throw std::runtime_error("cannot connect to " + address);
  }
}

memcache_client::~memcache_client() { ::close(socket_); }

std::string memcache_client::read_line() {
  size_t end;
  while ((end = received_.find("\r\n")) == std::string::npos) {
    char chunk[4096];
    auto count = ::recv(socket_, chunk, sizeof chunk, 0);
    if (count <= 0)
      throw std::runtime_error("the server is gone or silent");
    received_.append(chunk, static_cast<size_t>(count));
  }
  auto line = received_.substr(0, end);
  received_.erase(0, end + 2);
  return line;
}

std::string memcache_client::ask(std::string_view bytes, std::string_view last) {
  while (!bytes.empty()) {
    auto count = ::send(socket_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (count <= 0)
      throw std::runtime_error("the server is gone");
    bytes.remove_prefix(static_cast<size_t>(count));
  }
  auto result = read_line();
  auto line = result;
  while (!last.empty() && line != last && line.rfind("SERVER_ERROR", 0) != 0) {
    line = read_line();
    result += '|' + line;
  }
  return result;
}

std::string memcache_client::set(const std::string& key, const std::string& value) {
  return ask("set " + key + " 0 0 " + std::to_string(value.size()) + "\r\n" + value + "\r\n");
}

std::string memcache_client::get(const std::string& key) {
  return ask("get " + key + "\r\n", "END");
}

} // namespace kai
