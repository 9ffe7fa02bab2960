#include "protocol/memcache/credentials.hpp"

#include <catch2/catch.hpp>

#include "protocol/errc.hpp"

using namespace kai;
using kai::memcache::credentials;

namespace {

credentials parsed(std::string_view text) {
  auto x = credentials::parse(text);
  REQUIRE(x);
  return *x;
}

std::string refusal(std::string_view text) {
  auto x = credentials::parse(text);
  REQUIRE_FALSE(x);
  REQUIRE(x.error() == errc::bad_configuration);
  return message_of(x.error());
}

} // namespace

TEST_CASE("users and passwords are read line by line") {
  auto x = parsed("alice:secret\r\n\nbob:p:w with spaces\nempty:");
  CHECK(x.accept("alice", "secret"));
  CHECK(x.accept("bob", "p:w with spaces"));
  CHECK(x.accept("empty", ""));
}

TEST_CASE("SASL PLAIN names the user behind the authorization, with or without a realm") {
  using namespace std::string_view_literals;
  auto x = parsed("alice:secret\nbob@home:p\nbob:q\n");
  CHECK(x.accept_plain("\0alice\0secret"sv));
  CHECK(x.accept_plain("anything\0alice\0secret"sv));
  CHECK(x.accept_plain("\0alice@realm\0secret"sv));
  CHECK(x.accept_plain("\0bob@home\0p"sv));
  CHECK(x.accept_plain("\0bob@office\0q"sv));
  CHECK_FALSE(x.accept_plain("\0bob@office\0p"sv));
  for (auto wrong : {""sv, "\0"sv, "\0alice"sv, "alice\0secret"sv, "\0alice\0"sv,
                     "\0alice\0secret\0"sv, "\0alice\0secre"sv, "\0\0"sv, "\0@\0secret"sv})
    CHECK_FALSE(x.accept_plain(wrong));
}

TEST_CASE("a wrong user or password is refused, however near it is") {
  auto x = parsed("alice:secret\nempty:\n");
  for (auto password : {"", "s", "secre", "secrets", "Secret", "secretsecret"})
    CHECK_FALSE(x.accept("alice", password));
  CHECK_FALSE(x.accept("alic", "secret"));
  CHECK_FALSE(x.accept("", "secret"));
  CHECK_FALSE(x.accept("", ""));
  CHECK_FALSE(x.accept("empty", "x"));
  CHECK_FALSE(x.accept("mallory", "no such user"));
  CHECK_FALSE(x.accept("alice", std::string_view{"secret\0", 7}));
}

TEST_CASE("the text scheme takes everything behind the first space as the password") {
  auto x = parsed("alice:se cret\nbob:");
  CHECK(x.accept_text("alice se cret"));
  CHECK_FALSE(x.accept_text("alice se"));
  CHECK_FALSE(x.accept_text("alice"));
  CHECK_FALSE(x.accept_text(""));
  CHECK(x.accept_text("bob "));
  CHECK_FALSE(x.accept_text("bob"));
}

TEST_CASE("a line that is no user and password is named") {
  CHECK(refusal("alice:secret\n\nbob\n") == "line 3 is not user:password");
  CHECK(refusal(":secret") == "line 1 is not user:password");
  CHECK(refusal("").find("names no user") != std::string::npos);
  CHECK(refusal("\r\n\n").find("names no user") != std::string::npos);
}
