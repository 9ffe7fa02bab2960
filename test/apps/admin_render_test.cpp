#include "apps/admin_render.hpp"

#include <catch2/catch.hpp>

using namespace kai;
using nlohmann::json;

namespace {

const auto status = json::parse(R"({"epoch":12,"settled":false,"waiting_for":["n2 is down","x"],
  "members":[
    {"name":"n1","zone":"","state":"up","memcache":"127.0.0.1:11211","cluster":"127.0.0.1:11011",
     "partitions":154,"keys":1000,"bytes":1048576,"hints":0},
    {"name":"node-2","zone":"rack-7","state":"down","memcache":"127.0.0.1:1","cluster":"127.0.0.1:2",
     "partitions":102,"keys":9,"bytes":1023,"hints":12}]})");

} // namespace

TEST_CASE("a status is a table with its reasons above it") {
  CHECK(
      render("status", status) ==
      "epoch 12, not settled, waiting for:\n"
      "  n2 is down\n"
      "  x\n"
      "\n"
      "name    zone    state  memcache         cluster          partitions  keys    bytes  hints\n"
      "n1      -       up     127.0.0.1:11211  127.0.0.1:11011         154  1000  1.0 MiB      0\n"
      "node-2  rack-7  down   127.0.0.1:1      127.0.0.1:2             102     9   1023 B     "
      "12\n");
}

TEST_CASE("a ring shows replicas in order and moves in percent") {
  auto ring = json::parse(R"({"epoch":3,"partitions":[{"partition":0,"replicas":["a","b"]},
    {"partition":1,"replicas":["b","a"]}],"moves":[]})");
  CHECK(render("ring", ring) == "epoch 3, 2 partitions\n\n"
                                "partition  replicas\n"
                                "        0  a b\n"
                                "        1  b a\n"
                                "\nno moves under way\n");
  ring["moves"] = json::parse(R"([{"partition":1,"from":"a","to":"c","done":0.254}])");
  CHECK_THAT(render("ring", ring), Catch::EndsWith("moves under way:\n"
                                                   "partition  from  to  done\n"
                                                   "        1  a     c   25 %\n"));
}

TEST_CASE("a located key shows what each replica holds") {
  auto key = json::parse(R"({"key":"a\u001b[2J","partition":7,"replicas":[
    {"name":"n1","state":"up","version":"1f-2","bytes":5,"deleted":false},
    {"name":"n2","state":"down","version":null,"bytes":0,"deleted":false}]})");
  CHECK(render("locate", key) == "key a\\x1b[2J, partition 7\n\n"
                                 "name  state  version  bytes  deleted\n"
                                 "n1    up     1f-2       5 B  no\n"
                                 "n2    down   -          0 B  no\n");
}

TEST_CASE("a document of another shape is shown by names and lists") {
  CHECK(render("plan", json::parse(R"({"partitions":12,"bytes":2048,
    "zones":[{"zone":"a","members":2},{"zone":"b","members":1}]})")) == "bytes: 2.0 KiB\n"
                                                                        "partitions: 12\n"
                                                                        "\n"
                                                                        "zones:\n"
                                                                        "members  zone\n"
                                                                        "      2  a\n"
                                                                        "      1  b\n");
  CHECK(render("leave", json::object()).empty());
  CHECK(render("status", json::parse(R"({"epoch":1})")) == "epoch: 1\n");
  CHECK(render("ring", json::parse("[1,2]")) == "1 2\n");
  CHECK(render("locate", json(nullptr)) == "-\n");
}

TEST_CASE("progress names the first reason and counts the others") {
  CHECK(render_progress(status) == "waiting for n2 is down (and 1 more)");
  CHECK(render_progress(json::object()) == "waiting");
}

TEST_CASE("a status has a problem unless every member is up and the cluster is settled") {
  auto x = status;
  CHECK(status_problem(x) == "node-2 is down");
  x["members"][1]["state"] = "up";
  CHECK_THAT(status_problem(x), Catch::StartsWith("not settled: waiting for n2 is down"));
  x["settled"] = true;
  CHECK(status_problem(x).empty());
  CHECK_FALSE(status_problem(json::object()).empty());
}

TEST_CASE("bytes are shown with a unit that fits") {
  CHECK(human_bytes(0) == "0 B");
  CHECK(human_bytes(1023) == "1023 B");
  CHECK(human_bytes(1024) == "1.0 KiB");
  CHECK(human_bytes(1.5 * 1024 * 1024 * 1024) == "1.5 GiB");
}

TEST_CASE(
    "the line of progress says how much has moved, how fast, and how long the rest may take") {
  auto moving = json::parse(R"({"epoch":3,"settled":false,"waiting_for":["d is joining"],
    "progress":{"partitions":96,"done":0.254,"bytes_per_second":1572864,"remaining_seconds":30},
    "members":[]})");
  CHECK(render_progress(moving) ==
        "25 % moved, 1.5 MiB/s, about 30 s to go; waiting for d is joining");
  CHECK_THAT(render("status", moving),
             Catch::Contains("  d is joining\n25 % moved, 1.5 MiB/s, about 30 s to go\n"));
  moving["progress"]["remaining_seconds"] = nullptr;
  CHECK(render_progress(moving) == "25 % moved, 1.5 MiB/s; waiting for d is joining");
  moving["progress"] = nullptr;
  CHECK(render_progress(moving) == "waiting for d is joining");
}

TEST_CASE("a change is over when its member is out, or nothing is under way") {
  nlohmann::json status{
      {"moves", 0},
      {"members", {{{"name", "a"}, {"state", "up"}}, {{"name", "b"}, {"state", "leaving"}}}}};
  CHECK_FALSE(change_is_over(status, "leave", {"b"}));
  CHECK_FALSE(change_is_over(status, "abort", {}));
  CHECK(change_is_over(status, "leave", {"c"}));
  status["members"][1]["state"] = "up";
  CHECK(change_is_over(status, "abort", {}));
  status["moves"] = 3;
  CHECK_FALSE(change_is_over(status, "abort", {}));
  CHECK_FALSE(change_is_over("nonsense", "remove", {"a"}));
}
