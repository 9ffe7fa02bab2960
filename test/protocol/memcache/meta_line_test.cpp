#include "protocol/memcache/meta_line.hpp"

#include <catch2/catch.hpp>

#include "protocol/memcache/text_parser.hpp"

namespace kai::memcache {

namespace {

command read(std::string_view line) {
  command x;
  auto meaning = interpret_line(line, x);
  INFO(line);
  REQUIRE((meaning.kind == line_kind::complete || meaning.kind == line_kind::data));
  CHECK(x.form.through == codec::meta);
  return x;
}

} // namespace

TEST_CASE("the flags of meta commands arrive", "[memcache]") {
  auto get = read("mg key v N30 T-1 R60 u q Oabc");
  CHECK(get.op == verb::meta_get);
  CHECK(get.keys[0].view() == "key");
  // T stands behind N: it is what a placeholder gets too.
  CHECK(get.extras.vivify == -1);
  CHECK(get.extras.recache == 60);
  CHECK(get.exptime == -1);
  CHECK(get.extras.sets_exptime);
  CHECK(get.extras.leaves_no_trace);
  CHECK(get.form.quiet);
  CHECK(get.argument == "v N T Oabc");
  auto set = read("ms a2V5 5 b F7 T60 C9 I MS c");
  CHECK(set.op == verb::cas);
  CHECK(set.keys[0].view() == "key");
  CHECK(set.extras.binary_key);
  CHECK(set.extras.invalidates);
  CHECK(set.flags == 7);
  CHECK(set.exptime == 60);
  CHECK(set.cas == 9);
  CHECK(read("ms k 1 MR C9").op == verb::cas);
  CHECK(read("ms k 1 ME C9").op == verb::add);
  CHECK(read("md k C0").cas == impossible_cas);
  CHECK(read("md k").cas == 0);
  auto count = read("ma k MD D5 N0 J100");
  CHECK(count.op == verb::decr);
  CHECK(count.delta == 5);
  CHECK(count.extras.vivify == 0);
  CHECK(count.extras.initial == 100);
  CHECK(read("ma k").delta == 1);
}

TEST_CASE("L says how many replicas a meta command reads or writes", "[memcache]") {
  CHECK(read("mg k v Lr=1").extras.read_quorum == 1);
  CHECK(read("ms k 1 Lw=3").extras.write_quorum == 3);
  CHECK(read("mg k Lw=2").extras.read_quorum == 0);
  for (auto other : {"mg k L", "mg k Lpath/", "mg k Lx=1", "mg k Lr", "mg k Pr=1"}) {
    CHECK(read(other).extras.read_quorum == 0);
    CHECK(read(other).extras.write_quorum == 0);
  }
  for (auto wrong :
       {"mg k Lr=", "mg k Lr=0", "mg k Lr=17", "mg k Lr=x", "mg k Lr=-1", "mg k Lw=0"}) {
    command x;
    auto meaning = interpret_line(wrong, x);
    INFO(wrong);
    CHECK(meaning.kind == line_kind::error);
    CHECK(meaning.error == "CLIENT_ERROR bad token in command line format\r\n");
  }
}

TEST_CASE("a wrong ms swallows its data block where its length is known", "[memcache]") {
  command x;
  auto meaning = interpret_line("ms k 10 z", x);
  CHECK(meaning.kind == line_kind::swallow);
  CHECK(meaning.data_bytes == 10);
  command y;
  CHECK(interpret_line("ms k z 10", y).kind == line_kind::error);
}

} // namespace kai::memcache
