#include "protocol/memcache/base64.hpp"

#include <random>

#include <catch2/catch.hpp>

namespace kai::memcache {

TEST_CASE("base64 is that of RFC 4648", "[memcache]") {
  CHECK(encode_base64("") == "");
  CHECK(encode_base64("f") == "Zg==");
  CHECK(encode_base64("fo") == "Zm8=");
  CHECK(encode_base64("foo") == "Zm9v");
  CHECK(encode_base64("foob") == "Zm9vYg==");
  CHECK(encode_base64("\xff\xfe") == "//4=");
  for (auto text : {"f", "fo", "foo", "foob", "fooba", "foobar"})
    CHECK(decode_base64(encode_base64(text)) == text);
}

TEST_CASE("what is no base64 is refused, and strange characters are passed over", "[memcache]") {
  for (auto text : {"", "Z", "Zg", "Zg=", "Zm9vY", "@@@@", "Z===", "====", "Zg==Z"})
    CHECK_FALSE(decode_base64(text).has_value());
  CHECK(decode_base64("Z m-9v") == "foo");
  CHECK(decode_base64("Zg==Zm9v") == "f");
}

TEST_CASE("any bytes come back from base64", "[memcache]") {
  std::mt19937_64 random{64};
  for (int i = 0; i < 1000; ++i) {
    std::string bytes(1 + random() % 100, '\0');
    for (auto& c : bytes)
      c = static_cast<char>(random());
    CHECK(decode_base64(encode_base64(bytes)) == bytes);
  }
}

} // namespace kai::memcache
