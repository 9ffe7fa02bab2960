#include "apps/config.hpp"

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>

#include <catch2/catch.hpp>

#include "apps/config_file.hpp"
#include "protocol/errc.hpp"

using namespace kai;
namespace fs = std::filesystem;

namespace {

const program node_program{"kai-node", "[OPTIONS]"};
const program cluster_program{"kai-cluster", "[OPTIONS]", true};

/// A configuration file that goes at the end of the test.
class scratch_file {
public:
  explicit scratch_file(const std::string& text) {
    std::string name = fs::temp_directory_path() / "kai-config-XXXXXX";
    auto fd = mkstemp(name.data());
    REQUIRE(fd >= 0);
    close(fd);
    path = name;
    std::ofstream{path, std::ios::binary} << text;
  }
  ~scratch_file() { fs::remove(path); }

  std::string path;
};

invocation good(const std::vector<std::string>& arguments, const program& self = node_program) {
  auto result = read_invocation(self, arguments);
  INFO((result ? "" : message_of(result.error())));
  REQUIRE(result);
  return *result;
}

std::string refused(const std::vector<std::string>& arguments, const program& self = node_program) {
  auto result = read_invocation(self, arguments);
  INFO("arguments: " << caf::deep_to_string(arguments));
  REQUIRE_FALSE(result);
  CHECK(result.error() == errc::bad_configuration);
  return message_of(result.error());
}

std::string refused_file(const std::string& text) {
  scratch_file file{text};
  auto message = refused({"--config-file=" + file.path});
  // Without the directory, for comparison.
  auto begin = message.find(file.path);
  REQUIRE(begin != std::string::npos);
  return message.substr(begin + file.path.size());
}

std::string text_of_conf() {
  std::ifstream in{fs::path{KAI_TEST_DIR} / "../conf/kai.conf"};
  std::ostringstream out;
  out << in.rdbuf();
  return out.str();
}

} // namespace

TEST_CASE("without arguments every option has its default") {
  auto x = good({});
  CHECK(x.what == invocation::intent::run);
  CHECK(x.options.node.memcache.port == 11211);
  CHECK(x.options.node.memcache.max_item_size == 1024 * 1024);
  CHECK(x.options.node.cluster.partitions == 256);
  CHECK(x.options.node.read_quorum_or_majority() == 2);
  CHECK(x.options.node.storage.grace == std::chrono::hours{1});
  CHECK_FALSE(x.options.node.admin.port);
  CHECK(x.origins.empty());
}

TEST_CASE("every option is read from the command line and from the file") {
  const std::vector<std::pair<std::string, std::string>> values{
      {"node.name", "n1"},
      {"node.zone", "rack-7"},
      {"node.loops", "64"},
      {"memcache.address", "::1"},
      {"memcache.port", "0"},
      {"memcache.max-connections", "17"},
      {"memcache.max-item-size", "2m"},
      {"memcache.auth-file", "users"},
      {"cluster.address", "10.0.0.1"},
      {"cluster.port", "65535"},
      {"cluster.seeds", "a:1,[::1]:2"},
      {"cluster.replicas", "5"},
      {"cluster.read-quorum", "1"},
      {"cluster.write-quorum", "5"},
      {"cluster.partitions", "32768"},
      {"cluster.conflicts", "siblings"},
      {"storage.engine", "memory"},
      {"storage.directory", "/var/lib/a b"},
      {"storage.sync", "always"},
      {"storage.grace", "90s"},
      {"storage.memory-limit", "3g"},
      {"storage.cache", "200m"},
      {"storage.evict", "lru"},
      {"admin.address", "localhost"},
      {"admin.port", "0"},
      {"log.level", "debug"}};
  REQUIRE(values.size() == all_options().size());
  std::vector<std::string> arguments;
  process_options expected;
  for (auto& [name, text] : values) {
    auto option = find_option(name);
    REQUIRE(option);
    REQUIRE_FALSE(option->read(expected, text));
    CHECK(option->show(expected) == text);
    CHECK(option->show(process_options{}) != text);
    arguments.push_back("--" + name + "=" + text);
  }
  auto text = show_config_file(expected);
  CHECK(show_config_file(good(arguments).options) == text);
  scratch_file file{text};
  CHECK(show_config_file(good({"--config-file=" + file.path}).options) == text);
}

TEST_CASE("short forms take their value in the same or in the next argument") {
  auto x = good({"-p", "1", "-c2", "-j", "h:3,i:4", "-d", "x"});
  CHECK(x.options.node.memcache.port == 1);
  CHECK(x.options.node.cluster.port == 2);
  CHECK(x.options.node.cluster.seeds == std::vector<std::string>{"h:3", "i:4"});
  CHECK(x.options.node.storage.directory == "x");
  CHECK(x.given("memcache.port"));
}

TEST_CASE("hostile arguments are refused with the option's name") {
  const std::vector<std::pair<std::string, std::string>> cases{
      {"--memcache.port=70000", "memcache.port: 70000 is out of range: 0 to 65535"},
      {"--memcache.port=-1", "memcache.port: \"-1\" is not a number"},
      {"--memcache.port=", "memcache.port: \"\" is not a number"},
      {"--memcache.port= 1", "memcache.port: \" 1\" is not a number"},
      {"--memcache.port=0x10", "memcache.port: \"0x10\" is not a number"},
      {"--memcache.port=99999999999999999999999", "memcache.port: "},
      {"--memcache.port", "memcache.port: the value is missing"},
      {"--memcache.prot=1", "memcache.prot: there is no such option"},
      {"--port=1", "port: there is no such option"},
      {"--memcache.address=", "memcache.address: "},
      {"--memcache.address=a b", "memcache.address: "},
      {"--memcache.max-connections=0", "memcache.max-connections: 0 is out of range"},
      {"--memcache.max-item-size=1.5m", "memcache.max-item-size: \"1.5m\" is not a size"},
      {"--memcache.max-item-size=0", "memcache.max-item-size: 0 is out of range"},
      {"--memcache.max-item-size=1t", "memcache.max-item-size: "},
      {"--memcache.max-item-size=18446744073709551615g", "memcache.max-item-size: "},
      {"--cluster.address=0.0.0.0",
       "cluster.address: \"0.0.0.0\" is what other nodes would be told"},
      {"--cluster.address=0", "cluster.address: \"0\" is what other nodes would be told"},
      {"--cluster.address=::", "cluster.address: \"::\" is what other nodes would be told"},
      {"--cluster.address=0:0::0", "cluster.address: \"0:0::0\" is what other nodes would be told"},
      {"--cluster.partitions=100", "cluster.partitions: 100 is not a power of two"},
      {"--cluster.partitions=0", "cluster.partitions: 0 is out of range"},
      {"--cluster.partitions=65536", "cluster.partitions: 65536 is out of range"},
      {"--cluster.replicas=0", "cluster.replicas: 0 is out of range"},
      {"--cluster.replicas=17", "cluster.replicas: 17 is out of range"},
      {"--cluster.read-quorum=0", "cluster.read-quorum: 0 is out of range"},
      {"--cluster.read-quorum=all", "cluster.read-quorum: "},
      {"--cluster.write-quorum=4", "cluster.write-quorum: 4 is more than cluster.replicas"},
      {"--cluster.seeds=127.0.0.1", "cluster.seeds: \"127.0.0.1\" is not HOST:PORT"},
      {"--cluster.seeds=::1:11011", "cluster.seeds: "},
      {"--cluster.seeds=a:1,", "cluster.seeds: "},
      {"--cluster.seeds=,a:1", "cluster.seeds: "},
      {"--cluster.seeds=a:0", "cluster.seeds: \"a:0\" has port 0"},
      {"--cluster.seeds=a:70000", "cluster.seeds: "},
      {"--cluster.conflicts=newest",
       "cluster.conflicts: \"newest\" is not one of latest, siblings"},
      {"--storage.engine=rocksdb", "storage.engine: "},
      {"--storage.directory=", "storage.directory: "},
      {"--storage.sync=yes", "storage.sync: "},
      {"--storage.grace=1", "storage.grace: \"1\" is not a duration"},
      {"--storage.grace=-1h", "storage.grace: "},
      {"--storage.grace=0s", "storage.grace: out of range"},
      {"--storage.grace=9999999999999h", "storage.grace: "},
      {"--storage.memory-limit=lots", "storage.memory-limit: "},
      {"--storage.cache=-1", "storage.cache: "},
      {"--admin.port=on", "admin.port: "},
      {"--node.name=a b", "node.name: "},
      {"--node.name=" + std::string(129, 'n'), "node.name: longer than 128 bytes"},
      {"--log.level=loud", "log.level: "},
      {"--scheduler.max-threads=0", "scheduler.max-threads: "},
      {"--scheduler.max-threads=two", "scheduler.max-threads: "},
      {"--scheduler.policy=testing", "scheduler.policy: "},
      {"--middleman.heartbeat-interval=soon", "middleman.heartbeat-interval: "},
      {"--nodes=5", "nodes: there is no such option"},
      {"--config-file", "config-file: the value is missing"},
      {"-x", "-x: there is no such option"},
      {"-p", "memcache.port): the value is missing"},
      {"--", "stray argument \"--\""},
      {"-", "stray argument \"-\""},
      {"", "stray argument \"\""},
      {"start", "stray argument \"start\""}};
  for (auto& [argument, message] : cases) {
    INFO("argument: " << argument);
    CHECK_THAT(refused({argument}), Catch::Contains(message));
  }
}

TEST_CASE("an option that contradicts the file names the place of the value at fault") {
  scratch_file file{"[cluster]\nreplicas = 5\nread-quorum = 5\n"};
  CHECK(good({"--config-file=" + file.path}).options.node.cluster.read_quorum == 5);
  CHECK_THAT(refused({"--config-file=" + file.path, "--cluster.replicas=3"}),
             Catch::Contains(file.path + ":3: cluster.read-quorum: 5 is more than"));
}

TEST_CASE("the command line wins over the file, wherever the file is named") {
  scratch_file file{"[memcache]\nport = 1\nmax-connections = 2\n"};
  auto x = good({"-p", "3", "--config-file=" + file.path});
  CHECK(x.options.node.memcache.port == 3);
  CHECK(x.options.node.memcache.max_connections == 2);
}

TEST_CASE("hostile configuration files are refused with their line") {
  CHECK(refused_file("[memcache]\nprot = 1\n") == ":2: memcache.prot: there is no such option");
  CHECK(refused_file("\n[memcach]\nport = 1\n") == ":3: memcach.port: there is no such option");
  CHECK(refused_file("[memcache]\nport = 70000") ==
        ":2: memcache.port: 70000 is out of range: 0 to 65535");
  CHECK(refused_file("[memcache]\nport = \"11211\"") ==
        ":2: memcache.port: has to be a number without quotes");
  CHECK(refused_file("[memcache]\nport = [1]") == ":2: memcache.port: takes one value, not a list");
  CHECK(refused_file("[memcache]\naddress = 12\n") ==
        ":2: memcache.address: has to be a string in quotes");
  CHECK(refused_file("[cluster]\npartitions = 100\n") ==
        ":2: cluster.partitions: 100 is not a power of two");
  CHECK_THAT(refused_file("[storage]\ngrace = 1\n"), Catch::StartsWith(":2: storage.grace: "));
  CHECK_THAT(refused_file("# kai\n"), Catch::StartsWith(":1: a comment starts with a semicolon"));
  CHECK_THAT(refused_file("[log]\nlevel = info # x\n"),
             Catch::StartsWith(":2: a comment starts with a semicolon"));
  CHECK_THAT(refused_file("memcache.port = 1\n"), Catch::StartsWith(":1: write [memcache]"));
  CHECK_THAT(refused_file("memcache { port = 1 }\n"), Catch::StartsWith(":1: a group is a name"));
  CHECK_THAT(refused_file("port = 1\n"), Catch::Contains("in front of the first [group]"));
  CHECK_THAT(refused_file("[memcache]\nport\n"), Catch::StartsWith(":2: port: a key is followed"));
  CHECK_THAT(refused_file("[memcache]\nport =\n"), Catch::StartsWith(":2: memcache.port: has no"));
  CHECK_THAT(refused_file("[memcache\nport = 1\n"), Catch::StartsWith(":1: a group is a name"));
  CHECK_THAT(refused_file("[memcache]\nport = 1\nport = 2\n"),
             Catch::StartsWith(":3: memcache.port: given twice, first on line 2"));
  CHECK_THAT(refused_file("[node]\nname = \"a\nb\"\n"), Catch::StartsWith(":2: the closing"));
  CHECK_THAT(refused_file("[cluster]\nseeds = [\"a:1\"\n"),
             Catch::Contains("closing ] is missing"));
  CHECK_THAT(refused_file("[node]\nname = two words\n"), Catch::Contains(":2: "));
  CHECK_THAT(refused_file(std::string{"\0\1\2\xff", 4}), Catch::StartsWith(":1: "));
  CHECK_THAT(refused_file("[scheduler]\nmax-threads = \"2\"\n"),
             Catch::StartsWith(":2: scheduler.max-threads: has to be a uint64 without quotes"));
  CHECK_THAT(refused_file("[scheduler]\nmax-thread = 2\n"), Catch::Contains("no such option"));
  CHECK_THAT(refused_file("[middleman]\napp-identifiers = \"x\"\n"), Catch::Contains("a list"));
  CHECK_THAT(refused_file("[global]\nhelp = true\n"), Catch::Contains("no such option"));
  CHECK_THAT(refused_file(std::string(2 * 1024 * 1024, '\n')), Catch::Contains("larger than 1m"));
  CHECK_THAT(refused({"--config-file=/does/not/exist"}),
             Catch::Contains("config-file: cannot read /does/not/exist"));
  CHECK_THAT(refused({"--config-file=/"}), Catch::Contains("config-file: cannot read /"));
}

TEST_CASE("a file may have comments, blank lines, carriage returns and lists over lines") {
  scratch_file file{"; first\r\n\r\n [ cluster ] ; second\r\n"
                    "seeds = [ \"a:1\", ; third\n\n  \"b:2\" ,\n]\n"
                    "[storage]\ngrace=\"5min\"\nengine = 'memory'\ndirectory = \"a\\\"b\\\\\""};
  auto x = good({"--config-file=" + file.path});
  CHECK(x.options.node.cluster.seeds == std::vector<std::string>{"a:1", "b:2"});
  CHECK(x.options.node.storage.grace == std::chrono::minutes{5});
  CHECK(x.options.node.storage.engine == engine_kind::memory);
  CHECK(x.options.node.storage.directory == "a\"b\\");
}

TEST_CASE("CAF's own options work in the file and on the command line") {
  scratch_file file{"[scheduler]\nmax-threads = 3\npolicy = 'stealing'\n"
                    "[middleman]\nheartbeat-interval = 2s\napp-identifiers = [\"a\", \"b\"]\n"
                    "[logger]\nconsole-format = \"%m\"\n"};
  auto x = good({"--config-file=" + file.path, "--scheduler.max-threads=4",
                 "--middleman.enable-automatic-connections"});
  system_config config{x.caf};
  CHECK(caf::get_or(config, "scheduler.max-threads", uint64_t{0}) == 4);
  CHECK(caf::get_or(config, "scheduler.policy", caf::atom("")) == caf::atom("stealing"));
  CHECK(caf::get_or(config, "middleman.heartbeat-interval", caf::timespan{}) ==
        caf::timespan{std::chrono::seconds{2}});
  CHECK(caf::get_or(config, "middleman.app-identifiers", std::vector<std::string>{}) ==
        std::vector<std::string>{"a", "b"});
  CHECK(caf::get_or(config, "middleman.enable-automatic-connections", false));
  CHECK(caf::get_or(config, "logger.console-format", std::string{}) == "%m");
}

TEST_CASE("an actor system runs with our defaults for CAF") {
  system_config config;
  caf::actor_system system{config};
  CHECK(caf::get_or(system.config(), "scheduler.max-threads", uint64_t{0}) == 2);
  CHECK(caf::get_or(system.config(), "middleman.workers", uint64_t{9}) == 0);
  CHECK(system.render(failure(errc::refused, "no")) == "no");
}

TEST_CASE("help, version and dump print instead of running") {
  for (auto& option : all_options()) {
    CHECK_THAT(good({"--help"}).text, Catch::Contains("--" + std::string{option.name} + "="));
  }
  CHECK(good({"-p", "1", "--help"}).what == invocation::intent::print);
  CHECK_THAT(good({"--long-help"}).text, Catch::Contains("--scheduler.max-threads=uint64"));
  CHECK_THAT(good({"--version"}).text, Catch::StartsWith("kai-node 0."));
  CHECK_THAT(good({"--dump-config", "-p", "7"}).text, Catch::Contains("port = 7\n"));
  CHECK_THAT(good({"--help"}, cluster_program).text, Catch::Contains("--nodes=COUNT"));
}

TEST_CASE("loops are a number from 1 to 64") {
  CHECK(good({}).options.loops == 1);
  CHECK(good({"--node.loops=1"}).options.loops == 1);
  CHECK(good({"--node.loops=64"}).options.loops == 64);
  for (auto text : {"0", "65", "-1", "", "two", "18446744073709551616"})
    CHECK_THAT(refused({"--node.loops=" + std::string{text}}), Catch::Contains("node.loops: "));
}

TEST_CASE("only kai-cluster takes a number of nodes") {
  CHECK(good({}, cluster_program).nodes == 5);
  CHECK(good({"--nodes=3"}, cluster_program).nodes == 3);
  for (auto text : {"--nodes=0", "--nodes=65", "--nodes=-1", "--nodes=", "--nodes"})
    CHECK_THAT(refused({text}, cluster_program), Catch::Contains("nodes: "));
}

TEST_CASE("conf/kai.conf lists exactly the options that exist, with their defaults") {
  auto text = text_of_conf();
  auto entries = parse_config_file(text);
  REQUIRE(entries);
  std::set<std::string> listed;
  for (auto& x : *entries)
    listed.insert(x.group + "." + x.key);
  system_config ours;
  for (auto& x : all_options())
    CHECK(listed.erase(std::string{x.name}) == 1);
  for (auto& name : listed) {
    INFO("listed, but no option: " << name);
    CHECK(ours.find_caf_option(name));
  }
  scratch_file file{text};
  auto read = good({"--config-file=" + file.path});
  CHECK(show_config_file(read.options) == show_config_file(process_options{}));
  CHECK(caf::deep_to_string(caf::content(system_config{read.caf})) ==
        caf::deep_to_string(caf::content(ours)));
}

TEST_CASE("the development files are five nodes that can run together") {
  std::set<uint16_t> ports;
  std::set<std::string> names;
  for (int i = 1; i <= 5; ++i) {
    auto file =
        fs::path{KAI_TEST_DIR} / "../conf/development" / ("node" + std::to_string(i) + ".conf");
    auto x = good({"--config-file=" + file.string()}).options.node;
    ports.insert({x.memcache.port, x.cluster.port, *x.admin.port});
    names.insert(x.node.name);
    CHECK(x.cluster.seeds.empty() == (i == 1));
  }
  CHECK(ports.size() == 15);
  CHECK(names.size() == 5);
}
