#include "protocol/memcache/text_reply.hpp"

#include <catch2/catch.hpp>

#include "protocol/limits.hpp"

namespace kai::memcache {

namespace {

template <class Append>
std::string text_of(Append append) {
  output out;
  append(out);
  return {out.begin(), out.end()};
}

std::string reply(verb op, outcome_kind kind, uint64_t number = 0) {
  outcome x;
  x.kind = kind;
  x.number = number;
  return text_of([&](output& out) { append_outcome(out, op, x); });
}

std::string failure_text(const caf::error& err) {
  return text_of([&](output& out) { append_failure(out, err); });
}

} // namespace

TEST_CASE("each outcome has memcached's line", "[memcache]") {
  CHECK(reply(verb::set, outcome_kind::stored) == "STORED\r\n");
  CHECK(reply(verb::add, outcome_kind::not_stored) == "NOT_STORED\r\n");
  CHECK(reply(verb::append, outcome_kind::too_large) == "NOT_STORED\r\n");
  CHECK(reply(verb::cas, outcome_kind::exists) == "EXISTS\r\n");
  CHECK(reply(verb::cas, outcome_kind::not_found) == "NOT_FOUND\r\n");
  CHECK(reply(verb::remove, outcome_kind::deleted) == "DELETED\r\n");
  CHECK(reply(verb::touch, outcome_kind::touched) == "TOUCHED\r\n");
  CHECK(reply(verb::incr, outcome_kind::number) == "0\r\n");
  CHECK(reply(verb::incr, outcome_kind::number, UINT64_MAX) == "18446744073709551615\r\n");
  CHECK(reply(verb::decr, outcome_kind::not_a_number) ==
        "CLIENT_ERROR cannot increment or decrement non-numeric value\r\n");
}

TEST_CASE("a gat that misses leaves no line", "[memcache]") {
  CHECK(reply(verb::gat, outcome_kind::not_found).empty());
  CHECK(reply(verb::gats, outcome_kind::not_found).empty());
}

TEST_CASE("a value block has the cas unique only when asked", "[memcache]") {
  version x;
  x.flags = UINT32_MAX;
  x.value = blob::copy_of(std::string_view{"a\r\nb\0", 5});
  auto block = [&](uint64_t cas) {
    return text_of([&](output& out) { append_value(out, "key", x, cas); });
  };
  CHECK(block(0) == std::string{"VALUE key 4294967295 5\r\na\r\nb\0\r\n", 31});
  CHECK(block(UINT64_MAX) ==
        std::string{"VALUE key 4294967295 5 18446744073709551615\r\na\r\nb\0\r\n", 52});
  x = {};
  CHECK(block(0) == "VALUE key 0 0\r\n\r\n");
}

TEST_CASE("a failure of the cluster is one line of bounded length", "[memcache]") {
  CHECK(failure_text(failure(errc::overloaded, "anything")) == "SERVER_ERROR busy\r\n");
  CHECK(failure_text(failure(errc::out_of_memory, "anything")) ==
        "SERVER_ERROR out of memory storing object\r\n");
  CHECK(failure_text(failure(errc::quorum_failed, "1 of 3 replicas answered")) ==
        "SERVER_ERROR 1 of 3 replicas answered\r\n");
  CHECK(failure_text(failure(errc::refused, "a\r\nSTORED\r\n\t\x7f\x1b[0m")) ==
        "SERVER_ERROR aSTORED[0m\r\n");
  CHECK(failure_text(failure(errc::refused, "\r\n")) == "SERVER_ERROR internal error\r\n");
  auto long_one = failure_text(failure(errc::refused, std::string(100'000, 'x')));
  CHECK(long_one.size() == limits::failure_text_bytes_max + 15);
  CHECK(long_one.ends_with("x\r\n"));
}

} // namespace kai::memcache
