#include "protocol/memcache/number.hpp"

#include <catch2/catch.hpp>

namespace kai::memcache {

TEST_CASE("unsigned numbers are read by the rules of strtoull", "[memcache]") {
  struct row {
    std::string_view text;
    std::optional<uint64_t> value;
  };
  const row table[] = {
      {"0", 0},
      {"007", 7},
      {"+7", 7},
      {" \t\v\f\r\n7", 7},
      {"7 ", 7},
      {"7\tjunk", 7},
      {"18446744073709551615", UINT64_MAX},
      {"18446744073709551616", {}},
      {"99999999999999999999999", {}},
      {"0000000000000000000000000001", 1},
      {"-0", 0},
      {"-1", {}},
      {"-9223372036854775808", {}},
      {"-9223372036854775809", 9223372036854775807},
      {"-18446744073709551615", 1},
      {"-18446744073709551616", {}},
      {"18446744073709551615\t-", {}},
      {"9223372036854775808\t+", 9223372036854775808u},
      {"1\t-", 1},
      {std::string_view{"5\0x", 3}, 5},
      {std::string_view{"\0005", 2}, {}},
      {"", {}},
      {" ", {}},
      {"\r\n", {}},
      {"-", {}},
      {"+-1", {}},
      {"- 1", {}},
      {"0x10", {}},
      {"1.0", {}},
      {"1a", {}},
  };
  for (const auto& x : table) {
    INFO(x.text);
    CHECK(read_unsigned(x.text) == x.value);
  }
}

TEST_CASE("signed numbers have 64 bits", "[memcache]") {
  CHECK(read_signed("-1") == -1);
  CHECK(read_signed("9223372036854775807") == INT64_MAX);
  CHECK(read_signed("-9223372036854775808") == INT64_MIN);
  CHECK(read_signed(" +12 x") == 12);
  for (auto text : {"9223372036854775808", "-9223372036854775809", "", "x", "1x"}) {
    INFO(text);
    CHECK_FALSE(read_signed(text));
  }
}

} // namespace kai::memcache
