#include "protocol/memcache/binary_reply.hpp"

#include <catch2/catch.hpp>

#include "test/protocol/memcache/packets.hpp"

namespace kai::memcache::test {

namespace {

constexpr answer_form form{codec::binary, false, 0x01, 0xcafe};
constexpr answer_form quiet{codec::binary, true, 0x11, 0xcafe};

template <class Write>
std::vector<answer_packet> answers(Write write) {
  output out;
  write(out);
  std::string_view rest{out.data(), out.size()};
  std::vector<answer_packet> result;
  while (!rest.empty())
    result.push_back(take_answer(rest));
  return result;
}

answer_packet answer_to(verb op, const outcome& x, const answer_form& f = form) {
  auto all = answers([&](output& out) { append_outcome(out, f, op, x, "key"); });
  REQUIRE(all.size() == 1);
  CHECK(all[0].opaque == 0xcafe);
  return all[0];
}

outcome make(outcome_kind kind) {
  outcome x;
  x.kind = kind;
  return x;
}

version make_version() {
  version x;
  x.flags = 0x01020304;
  x.value = blob::copy_of("value");
  return x;
}

} // namespace

TEST_CASE("each outcome has its status in the binary protocol", "[memcache]") {
  struct row {
    verb op;
    outcome_kind kind;
    binary_status status;
  };
  const row rows[] = {
      {verb::set, outcome_kind::stored, binary_status::success},
      {verb::add, outcome_kind::not_stored, binary_status::key_exists},
      {verb::replace, outcome_kind::not_stored, binary_status::key_not_found},
      {verb::append, outcome_kind::not_stored, binary_status::not_stored},
      {verb::prepend, outcome_kind::too_large, binary_status::not_stored},
      {verb::cas, outcome_kind::exists, binary_status::key_exists},
      {verb::cas, outcome_kind::not_found, binary_status::key_not_found},
      {verb::incr, outcome_kind::not_a_number, binary_status::not_a_number},
      {verb::remove, outcome_kind::deleted, binary_status::success},
      {verb::touch, outcome_kind::not_found, binary_status::key_not_found},
  };
  for (auto& row : rows) {
    auto x = answer_to(row.op, make(row.kind));
    CHECK(x.status == row.status);
    CHECK(x.value == text_of(row.status));
  }
}

TEST_CASE("a quiet command says nothing of success and all of failure", "[memcache]") {
  for (auto kind : {outcome_kind::stored, outcome_kind::deleted, outcome_kind::number})
    CHECK(answers([&](output& out) {
            append_outcome(out, quiet, verb::set, make(kind), "key");
          }).empty());
  CHECK(answer_to(verb::remove, make(outcome_kind::not_found), quiet).status ==
        binary_status::key_not_found);
  CHECK(answers([&](output& out) { append_miss(out, quiet, "key"); }).empty());
  CHECK(answers([&](output& out) {
          append_hit(out, quiet, verb::get, "key", make_version(), 1);
        }).size() == 1);
}

TEST_CASE("binary hits have flags, cas and value, and the key where it is asked for",
          "[memcache]") {
  for (uint8_t opcode : {0x00, 0x0c, 0x1d, 0x23}) {
    auto f = form;
    f.opcode = opcode;
    auto x = answers([&](output& out) {
               append_hit(out, f, verb::get, "key", make_version(), 42);
             }).at(0);
    CHECK(x.extras == big32(0x01020304));
    CHECK(x.value == "value");
    CHECK(x.cas == 42);
    CHECK(x.key == (answers_with_key(opcode) ? "key" : ""));
    auto miss = answers([&](output& out) { append_miss(out, f, "key"); }).at(0);
    CHECK(miss.status == binary_status::key_not_found);
    CHECK(miss.key == x.key);
    CHECK(miss.value == (answers_with_key(opcode) ? "" : "Not found"));
  }
  auto touched =
      answers([&](output& out) { append_hit(out, form, verb::touch, "key", make_version(), 42); });
  CHECK(touched.at(0).value.empty());
  CHECK(touched.at(0).extras == big32(0x01020304));
}

TEST_CASE("a counter is eight bytes in the binary protocol", "[memcache]") {
  auto x = make(outcome_kind::number);
  x.number = 0x0102030405060708;
  x.cas = 9;
  CHECK(answer_to(verb::incr, x).value == big64(x.number));
  CHECK(answer_to(verb::incr, x).cas == 9);
}

TEST_CASE("binary stats are a packet per line and an empty one", "[memcache]") {
  auto all = answers([](output& out) {
    append_stats(out, form, "STAT a 1\r\nSTAT b two words\r\nSTAT empty \r\nEND\r\n");
  });
  REQUIRE(all.size() == 4);
  CHECK((all[0].key == "a" && all[0].value == "1"));
  CHECK((all[1].key == "b" && all[1].value == "two words"));
  CHECK((all[2].key == "empty" && all[2].value.empty()));
  CHECK((all[3].key.empty() && all[3].value.empty()));
  CHECK(answers([](output& out) { append_stats(out, form, "RESET\r\n"); }).size() == 1);
  CHECK(answers([](output& out) { append_stats(out, form, "ERROR\r\n"); }).at(0).status ==
        binary_status::key_not_found);
}

TEST_CASE("errors of the cluster say why in the binary protocol", "[memcache]") {
  auto failed = [](const caf::error& err) {
    return answers([&](output& out) { append_failure(out, quiet, err); }).at(0);
  };
  auto x = failed(failure(errc::quorum_failed, "1 of 3 replicas answered, 2 needed"));
  CHECK(x.status == binary_status::temporary_failure);
  CHECK(x.value == "1 of 3 replicas answered, 2 needed");
  CHECK(failed(failure(errc::overloaded, "x")).status == binary_status::busy);
  CHECK(failed(failure(errc::out_of_memory, "x")).status == binary_status::out_of_memory);
}

} // namespace kai::memcache::test
