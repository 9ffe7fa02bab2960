#include "storage/directory.hpp"

#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <filesystem>

#include <catch2/catch.hpp>

#include "protocol/errc.hpp"
#include "storage/identity_codec.hpp"
#include "test/support/memory_env.hpp"

using namespace kai;
using namespace kai::test;

namespace {

directory_options options_of(memory_env& env, std::string path = "/kai/node") {
  return {std::move(path), "n1", 42, 2, &env};
}

/// The error names the directory and holds the words.
void check_refused(const directory_options& options, errc code, std::string_view words) {
  auto result = node_directory::open(options);
  REQUIRE_FALSE(result);
  CHECK(result.error() == code);
  CHECK_THAT(message_of(result.error()), Catch::Contains(options.path));
  CHECK_THAT(message_of(result.error()), Catch::Contains(std::string{words}));
}

struct temporary {
  std::string path;
  temporary() {
    std::string name = "/tmp/kai-storage-XXXXXX";
    path = ::mkdtemp(name.data());
  }
  ~temporary() {
    std::error_code ignored;
    std::filesystem::remove_all(path, ignored);
  }
};

} // namespace

TEST_CASE("a new directory is made with all above it and keeps its identity") {
  memory_env env;
  {
    auto made = node_directory::open(options_of(env, "/a/b/c/"));
    REQUIRE(made);
    CHECK((*made)->identity() == directory_identity{42, "n1", 2});
    CHECK((*made)->vnode_path(1) == "/a/b/c/vnode-1");
  }
  // Another id and number of vnodes are for new directories only.
  auto again = node_directory::open({"/a/b/c", "n1", 43, 9, &env});
  REQUIRE(again);
  CHECK((*again)->identity() == directory_identity{42, "n1", 2});
}

TEST_CASE("what a directory acknowledged is there after a crash") {
  memory_env env;
  {
    auto made = node_directory::open(options_of(env));
    REQUIRE_FALSE((*made)->write_file("vote", "one"));
    REQUIRE_FALSE((*made)->write_file("vote", "two"));
    env.fail_syncs(true);
    CHECK((*made)->write_file("vote", "three") == errc::storage_failed);
    env.fail_syncs(false);
    env.crash();
  }
  env.power_on();
  auto again = node_directory::open(options_of(env));
  REQUIRE(again);
  CHECK(**(*again)->read_file("vote") == "two");
  CHECK_FALSE(*(*again)->read_file("topology"));
}

TEST_CASE("every flipped bit of a directory's files is noticed") {
  memory_env env;
  {
    auto made = node_directory::open(options_of(env));
    REQUIRE_FALSE((*made)->write_file("vote", "ballot"));
  }
  for (auto* file : {"/kai/node/identity", "/kai/node/vote"}) {
    auto good = env.contents(file);
    for (size_t bit = 0; bit < good.size() * 8; ++bit) {
      INFO(file << " bit " << bit);
      env.flip_bit(file, bit);
      auto opened = node_directory::open(options_of(env));
      if (opened) {
        auto vote = (*opened)->read_file("vote");
        REQUIRE_FALSE(vote);
        REQUIRE(vote.error() == errc::damaged);
      }
      REQUIRE((opened || opened.error() == errc::bad_configuration ||
               opened.error() == errc::incompatible));
      REQUIRE(opened.engaged() == (file == std::string{"/kai/node/vote"}));
      env.overwrite(file, good);
    }
  }
  CHECK(node_directory::open(options_of(env)));
}

TEST_CASE("a directory that is not this node's or not usable is refused with the reason") {
  memory_env env;
  auto options = options_of(env);
  { REQUIRE(node_directory::open(options)); }
  auto identity = env.contents("/kai/node/identity");

  SECTION("another node's name") {
    options.node_name = "n2";
    check_refused(options, errc::bad_configuration, "belongs to node n1, not to n2");
  }
  SECTION("a newer version") {
    auto first_line = [](uint64_t format) { return "kai-directory " + std::to_string(format); };
    REQUIRE(identity.starts_with(first_line(directory_format)));
    identity.replace(0, first_line(directory_format).size(), first_line(directory_format + 1));
    env.overwrite("/kai/node/identity", identity);
    check_refused(options, errc::incompatible, "was made by a newer kai");
  }
  SECTION("an identity that is cut short") {
    env.overwrite("/kai/node/identity", identity.substr(0, 40));
    check_refused(options, errc::bad_configuration, "`identity` is damaged");
  }
  SECTION("data without an identity") {
    REQUIRE(env.RemoveFile("/kai/node/identity").ok());
    REQUIRE(env.CreateDir("/kai/node/vnode-0").ok());
    check_refused(options, errc::bad_configuration, "`identity` is missing");
  }
  SECTION("a file") {
    options.path = "/kai/file";
    env.overwrite("/kai/file", "x");
    check_refused(options, errc::bad_configuration, "is no directory");
  }
  SECTION("below a file") {
    options.path = "/kai/file/node";
    env.overwrite("/kai/file", "x");
    check_refused(options, errc::bad_configuration, "cannot be made");
  }
  SECTION("not writable") {
    env.RemoveFile("/kai/node/LOCK");
    env.fail_writes(true);
    check_refused(options, errc::bad_configuration, "is not writable");
  }
  SECTION("in use in the same process") {
    auto first = node_directory::open(options);
    REQUIRE(first);
    check_refused(options, errc::bad_configuration, "is in use");
    first = caf::make_error(errc::refused);
    CHECK(node_directory::open(options));
  }
  SECTION("a node name of two lines") {
    options.path = "/kai/other";
    options.node_name = "a\nb";
    CHECK(node_directory::open(options).error() == errc::bad_configuration);
  }
}

TEST_CASE("a directory of an older format is read, and is of the new one then") {
  memory_env env;
  { REQUIRE(node_directory::open(options_of(env))); }
  auto now = "kai-directory " + std::to_string(directory_format) + "\n";
  std::string body = "\nnode 000000000000002b\nname n1\ncluster 000000000000004d\nvnodes 3\n";
  for (auto [format, end] : {std::pair{"1", "emptying 0\nchecksum 87d07b157410ea54\n"},
                             {"2", "checksum 416abc9be150931f\n"}}) {
    env.overwrite("/kai/node/identity", std::string{"kai-directory "} + format + body + end);
    auto opened = node_directory::open(options_of(env));
    REQUIRE(opened);
    CHECK((*opened)->identity() == directory_identity{43, "n1", 3});
    CHECK(env.contents("/kai/node/identity").starts_with(now));
  }
  // It was being emptied: nothing that ever ran left it like that.
  env.overwrite("/kai/node/identity",
                "kai-directory 1" + body + "emptying 1\nchecksum 3e0e3e6c6539c3cc\n");
  check_refused(options_of(env), errc::bad_configuration, "`identity` is damaged");
}

TEST_CASE("files of other names than ours are refused") {
  memory_env env;
  auto made = node_directory::open(options_of(env));
  for (auto* name : {"", "identity", "LOCK", "../x", "a/b", "vnode-0", "."}) {
    INFO(name);
    CHECK((*made)->write_file(name, "x") == errc::refused);
    CHECK_FALSE(*(*made)->read_file(name));
  }
}

TEST_CASE("a second process is refused, on a real disk") {
  temporary place;
  directory_options options{place.path + "/node", "n1", 42, 1, nullptr};
  auto first = node_directory::open(options);
  REQUIRE(first);
  REQUIRE_FALSE((*first)->write_file("vote", "one"));
  check_refused(options, errc::bad_configuration, "is in use");

  std::array<int, 2> channel;
  REQUIRE(::pipe(channel.data()) == 0);
  auto child = ::fork();
  if (child == 0) {
    // By another name, so that only the operating system's lock can tell.
    directory_options other = options;
    other.path = place.path + "/./node";
    auto second = node_directory::open(other);
    auto refused = !second && second.error() == errc::bad_configuration &&
                   message_of(second.error()).find("is in use") != std::string::npos;
    char answer = refused ? 'r' : 'o';
    static_cast<void>(!::write(channel[1], &answer, 1));
    ::_exit(0);
  }
  char answer = 0;
  CHECK(::read(channel[0], &answer, 1) == 1);
  CHECK(answer == 'r');
  ::waitpid(child, nullptr, 0);
  ::close(channel[0]);
  ::close(channel[1]);

  first = caf::make_error(errc::refused);
  auto again = node_directory::open(options);
  REQUIRE(again);
  CHECK(**(*again)->read_file("vote") == "one");
}

TEST_CASE("a place where nothing can be made is refused, on a real disk") {
  check_refused({"/proc/kai/node", "n1", 42, 1, nullptr}, errc::bad_configuration,
                "cannot be made");
}
