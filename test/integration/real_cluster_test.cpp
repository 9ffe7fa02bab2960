#include "test/support/real_cluster.hpp"

#include <chrono>
#include <thread>

#include <catch2/catch.hpp>

using namespace kai;
using namespace std::chrono_literals;

namespace {

std::string key_of(int i) { return "key-" + std::to_string(i); }

/// Reads through a node until it has found enough others to answer.
std::string get_in_time(memcache_client& client, const std::string& key) {
  auto deadline = std::chrono::steady_clock::now() + 20s;
  auto answer = client.get(key);
  while (answer.rfind("SERVER_ERROR", 0) == 0 && std::chrono::steady_clock::now() < deadline) {
    std::this_thread::sleep_for(10ms);
    answer = client.get(key);
  }
  return answer;
}

void check_all(const real_cluster& cluster, size_t node, int keys, const std::string& suffix) {
  memcache_client client{cluster.endpoints(node).memcache};
  for (int i = 0; i < keys; ++i) {
    INFO(key_of(i) << " through node " << node);
    auto value = key_of(i) + suffix;
    REQUIRE(get_in_time(client, key_of(i)) ==
            "VALUE " + key_of(i) + " 0 " + std::to_string(value.size()) + '|' + value + "|END");
  }
}

void write_all(const real_cluster& cluster, size_t node, int keys, const std::string& suffix) {
  memcache_client client{cluster.endpoints(node).memcache};
  for (int i = 0; i < keys; ++i) {
    get_in_time(client, key_of(i));
    REQUIRE(client.set(key_of(i), key_of(i) + suffix) == "STORED");
  }
}

} // namespace

TEST_CASE("what one real node takes all real nodes give, while one is away and when it is back") {
  real_cluster cluster{3};
  write_all(cluster, 0, 100, " first");
  for (size_t i = 0; i < 3; ++i)
    check_all(cluster, i, 100, " first");

  cluster.stop(1);
  CHECK_FALSE(cluster.running(1));
  write_all(cluster, 2, 100, " second");
  check_all(cluster, 0, 100, " second");

  auto before = cluster.endpoints(1).cluster;
  cluster.start(1);
  CHECK(cluster.endpoints(1).cluster != before);
  for (size_t i = 0; i < 3; ++i)
    check_all(cluster, i, 100, " second");

  cluster.kill(2);
  write_all(cluster, 1, 100, " third");
  cluster.start(2);
  for (size_t i = 0; i < 3; ++i)
    check_all(cluster, i, 100, " third");
}
