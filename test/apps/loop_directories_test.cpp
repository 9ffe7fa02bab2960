#include "apps/loop_directories.hpp"

#include <cstdlib>
#include <filesystem>

#include <unistd.h>

#include <catch2/catch.hpp>

#include "actors/shared_port.hpp"
#include "protocol/errc.hpp"
#include "protocol/topology.hpp"
#include "storage/directory.hpp"

using namespace kai;
namespace fs = std::filesystem;

namespace {

class scratch_directory {
public:
  scratch_directory() {
    std::string name = fs::temp_directory_path() / "kai-loops-XXXXXX";
    REQUIRE(mkdtemp(name.data()) != nullptr);
    path = name;
  }
  ~scratch_directory() { fs::remove_all(path); }

  std::string path;
};

/// What a node leaves behind; `member`: of the last topology that it knew.
void make(const std::string& path, const std::string& name, const std::string& member,
          uint16_t port = 1) {
  directory_options options;
  options.path = path;
  options.node_name = name;
  options.fresh_node_id = 7;
  auto directory = node_directory::open(options);
  REQUIRE(directory);
  kai::member x;
  x.name = member;
  x.cluster_address = to_host_port("127.0.0.1", port);
  x.memcache_address = "127.0.0.1:2";
  x.id = 7;
  std::string bytes;
  byte_writer out{bytes};
  encode(out, found(1, {1, 1, 1, 8}, x));
  REQUIRE_FALSE((*directory)->write_file("topology", bytes));
}

std::string checked(const std::string& path, size_t loops,
                    engine_kind engine = engine_kind::leveldb) {
  process_options options;
  options.loops = loops;
  options.node.storage.directory = path;
  options.node.storage.engine = engine;
  auto err = check_loop_directories(options);
  if (!err)
    return {};
  CHECK(err == errc::bad_configuration);
  return message_of(err);
}

} // namespace

TEST_CASE("a directory that is new, or has fewer loops, is fine") {
  scratch_directory directory;
  CHECK(checked(directory.path + "/new", 2).empty());
  CHECK_FALSE(fs::exists(directory.path + "/new"));
  make(loop_directory(directory.path, 1), "n.1", "n.1");
  make(loop_directory(directory.path, 2), "n.2", "n.2");
  CHECK(checked(directory.path, 2).empty());
  CHECK(checked(directory.path, 3).empty());
}

TEST_CASE("with fewer loops than a directory has members' data for, those have to leave first") {
  scratch_directory directory;
  for (size_t i = 1; i <= 3; ++i)
    make(loop_directory(directory.path, i), "n." + std::to_string(i), "n." + std::to_string(i));
  auto message = checked(directory.path, 2);
  CHECK_THAT(message, Catch::StartsWith("node.loops: storage.directory " + directory.path));
  CHECK_THAT(message, Catch::Contains("holds the data of n.3, which 2 loops do not run"));
  CHECK_THAT(message, Catch::Contains("start with node.loops=3"));
  CHECK_THAT(message, Catch::Contains("(kai-admin leave n.3)"));
  message = checked(directory.path, 1);
  CHECK_THAT(message, Catch::Contains("n.1, n.2, n.3"));
  CHECK_THAT(message, Catch::Contains("start with node.loops=3"));
}

TEST_CASE("what a loop that has left keeps in its directory is in nobody's way") {
  scratch_directory directory;
  make(loop_directory(directory.path, 1), "n.1", "n.1");
  make(loop_directory(directory.path, 2), "n.2", "n.1");
  CHECK_THAT(checked(directory.path, 1), Catch::Contains("of n.1, which"));
  CHECK(checked(directory.path, 2).empty());
  scratch_directory other;
  make(loop_directory(other.path, 1), "n.1", "m");
  CHECK(checked(other.path, 1).empty());
}

TEST_CASE("the data of a node without loops is not left behind either") {
  scratch_directory directory;
  make(directory.path, "n", "n");
  CHECK(checked(directory.path, 1).empty());
  auto message = checked(directory.path, 2);
  CHECK_THAT(message, Catch::Contains("holds the data of n, which 2 loops do not run"));
  CHECK_THAT(message, Catch::Contains("start with node.loops=1 "));
}

TEST_CASE("loops that may have any port have the one they had before, while it is free") {
  scratch_directory directory;
  auto shared = share_port("127.0.0.1", 0, 1, 1);
  REQUIRE(shared);
  auto port = port_of(shared->front().socket);
  make(loop_directory(directory.path, 1), "n.1", "n.1", port);
  std::vector<node_options> loops(3);
  for (size_t i = 0; i < 3; ++i) {
    loops[i].cluster.port = i == 2 ? 200 : 0;
    loops[i].storage.directory = loop_directory(directory.path, i + 1);
  }
  auto taken = loops;
  keep_ports(taken);
  CHECK(taken[0].cluster.port == 0);
  ::close(shared->front().socket);
  keep_ports(loops);
  CHECK(loops[0].cluster.port == port);
  CHECK(loops[1].cluster.port == 0);
  CHECK(loops[2].cluster.port == 200);
}

TEST_CASE("the memory engine has no directory to check") {
  scratch_directory directory;
  make(loop_directory(directory.path, 2), "n.2", "n.2");
  CHECK(checked(directory.path, 1, engine_kind::memory).empty());
}

TEST_CASE("a directory whose owner can not be told is refused") {
  scratch_directory directory;
  make(loop_directory(directory.path, 2), "n.2", "n.2");
  fs::resize_file(loop_directory(directory.path, 2) + "/identity", 5);
  CHECK_THAT(checked(directory.path, 1),
             Catch::StartsWith("storage.directory: ") && Catch::Contains("loop-2/identity"));
}

TEST_CASE("fewer nodes than a cluster's directory holds are refused") {
  scratch_directory directory;
  process_options options;
  options.node.storage.directory = directory.path;
  for (auto name : {"node1", "node2", "node3"})
    make(directory.path + "/" + name, name, name);
  CHECK_FALSE(check_cluster_directory(options, 3));
  CHECK_FALSE(check_cluster_directory(options, 5));
  auto err = check_cluster_directory(options, 2);
  CHECK(err == errc::bad_configuration);
  CHECK_THAT(message_of(err), Catch::Contains("--nodes=3"));
  // It has left its cluster.
  fs::remove_all(directory.path + "/node3");
  make(directory.path + "/node3", "node3", "another");
  CHECK_FALSE(check_cluster_directory(options, 2));
}

TEST_CASE("a first node whose data is gone joins the others and founds nothing") {
  scratch_directory directory;
  std::vector<node_options> nodes(3);
  for (size_t i = 0; i < 3; ++i) {
    nodes[i].storage.directory = directory.path + "/node" + std::to_string(i + 1);
    nodes[i].cluster.port = static_cast<uint16_t>(1000 + i);
  }
  auto asked = nodes;
  SECTION("a new cluster is founded") {
    CHECK_FALSE(join_who_is_there(nodes));
    CHECK(nodes[0].cluster.seeds.empty());
  }
  SECTION("one that is whole goes on") {
    for (auto& x : nodes)
      make(x.storage.directory, "n", "n");
    CHECK_FALSE(join_who_is_there(nodes));
    CHECK(nodes[0].cluster.seeds.empty());
  }
  SECTION("the first one's is gone") {
    make(nodes[2].storage.directory, "n3", "n3");
    CHECK_FALSE(join_who_is_there(nodes));
    CHECK(nodes[0].cluster.seeds == std::vector<std::string>{"127.0.0.1:1002"});
    nodes = asked;
    nodes[2].cluster.port = 0;
    auto err = join_who_is_there(nodes);
    CHECK(err == errc::bad_configuration);
    CHECK_THAT(message_of(err), Catch::Contains("node1 holds no member's data"));
    nodes[0].cluster.seeds = {"127.0.0.1:1"};
    CHECK_FALSE(join_who_is_there(nodes));
  }
}
