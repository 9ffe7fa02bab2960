#include "protocol/topology_messages.hpp"

#include <catch2/catch.hpp>

using namespace kai;
using kind = topology_request::kind;

namespace {

member some_member() {
  member x;
  x.name = "a";
  x.zone = "rack-1";
  x.memcache_address = "127.0.0.1:11211";
  x.cluster_address = "127.0.0.1:11011";
  x.id = 42;
  return x;
}

topology some_topology() {
  cluster_settings settings;
  settings.partitions = 8;
  return found(7, settings, some_member());
}

topology_request some_request(kind what) {
  topology_request x;
  x.what = what;
  x.epoch = 300;
  x.at = {5, 42};
  x.value = encode_blob(some_topology());
  return x;
}

topology_reply some_reply() {
  topology_reply x;
  x.epoch = 9;
  x.newer = encode_blob(some_topology());
  x.vote.granted = true;
  x.vote.state.promised = {5, 42};
  x.vote.state.accepted = paxos::accepted_value{{4, 41}, blob::copy_of("value")};
  return x;
}

} // namespace

TEST_CASE("every kind of topology request survives its text") {
  for (auto what : {kind::get, kind::prepare, kind::accept, kind::learn}) {
    auto x = some_request(what);
    auto y = decode_topology_request(encode_text(x));
    REQUIRE(y);
    CHECK(y->what == what);
    CHECK(y->epoch == 300);
    CHECK(y->at == x.at);
    CHECK(y->value == x.value);
  }
}

TEST_CASE("a topology reply survives its text") {
  auto x = some_reply();
  auto y = decode_topology_reply(encode_text(x));
  REQUIRE(y);
  CHECK(y->epoch == 9);
  CHECK(y->newer == x.newer);
  CHECK(y->vote == x.vote);
  auto empty = decode_topology_reply(encode_text(topology_reply{}));
  REQUIRE(empty);
  CHECK(empty->newer.empty());
  CHECK_FALSE(empty->vote.granted);
}

TEST_CASE("a topology and a member survive their bytes") {
  auto x = decode_topology_blob(encode_blob(some_topology()));
  REQUIRE(x);
  CHECK(*x == some_topology());
  auto text = encode_text(some_member());
  auto y = decode_member_text(text);
  REQUIRE(y);
  CHECK(*y == some_member());
  // A node of another version does not become one.
  ++text[0];
  auto other = decode_member_text(text);
  REQUIRE_FALSE(other);
  CHECK(other.error() == errc::incompatible);
}

TEST_CASE("texts of topology actors that are cut or longer are refused as malformed") {
  auto request = encode_text(some_request(kind::accept));
  auto reply = encode_text(some_reply());
  auto newcomer = encode_text(some_member());
  auto whole = encode_blob(some_topology());
  auto refused = [](const auto& x) { return !x && x.error() == errc::malformed; };
  for (size_t n = 0; n < request.size(); ++n)
    REQUIRE(refused(decode_topology_request(request.substr(0, n))));
  for (size_t n = 0; n < reply.size(); ++n)
    REQUIRE(refused(decode_topology_reply(reply.substr(0, n))));
  for (size_t n = 0; n < newcomer.size(); ++n)
    REQUIRE(refused(decode_member_text(newcomer.substr(0, n))));
  for (size_t n = 0; n < whole.size(); ++n)
    REQUIRE(refused(decode_topology_blob(whole.slice(0, n))));
  CHECK(refused(decode_topology_request(request + "x")));
  CHECK(refused(decode_topology_reply(reply + "x")));
  CHECK(refused(decode_member_text(newcomer + "x")));
  CHECK(refused(decode_topology_blob(blob::copy_of(whole.str() + "x"))));
}

TEST_CASE("a request of an unknown kind is refused") {
  for (char what : {'\0', '\6', '\xff'}) {
    auto text = encode_text(some_request(kind::get));
    text[0] = what;
    CHECK_FALSE(decode_topology_request(text));
  }
}

TEST_CASE("bytes of a topology that breaks the rules are refused") {
  auto x = some_topology();
  x.replicas.pop_back();
  CHECK_FALSE(decode_topology_blob(encode_blob(x)));
}

TEST_CASE("a report of filled partitions survives its text, and nothing else passes for one") {
  fill_report x;
  x.hints = 7;
  x.epoch = 300;
  x.sees = {0, 7};
  x.filled = {{3, 12}, {500, 70000}};
  auto text = encode_text(x);
  auto y = decode_fill_report(text);
  REQUIRE(y);
  CHECK(y->alive);
  CHECK(y->hints == 7);
  CHECK(y->filled == x.filled);
  CHECK(y->epoch == 300);
  CHECK(y->sees == x.sees);
  for (size_t n = 0; n < text.size(); ++n)
    CHECK_FALSE(decode_fill_report(text.substr(0, n)));
  CHECK_FALSE(decode_fill_report(text + "x"));
}
