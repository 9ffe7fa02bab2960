#include "protocol/wire.hpp"

#include <catch2/catch.hpp>

using namespace kai;

TEST_CASE("numbers are written little-endian and varints in groups of seven bits") {
  std::string bytes;
  byte_writer out{bytes};
  out.u8(0xab);
  out.u16(0x0102);
  out.u32(0x01020304);
  out.u64(0x0102030405060708);
  out.varint(0);
  out.varint(127);
  out.varint(300);
  out.bytes("ab");
  CHECK(bytes == std::string_view{"\xab\x02\x01\x04\x03\x02\x01\x08\x07\x06\x05\x04\x03\x02\x01"
                                  "\x00\x7f\xac\x02\x02"
                                  "ab",
                                  22});
}

TEST_CASE("what was written is read back") {
  std::string bytes;
  byte_writer out{bytes};
  const uint64_t numbers[] = {0, 1, 127, 128, 16383, 16384, UINT32_MAX, UINT64_MAX - 1, UINT64_MAX};
  for (auto x : numbers) {
    out.varint(x);
    out.u64(x);
    out.u32(static_cast<uint32_t>(x));
  }
  out.bytes("");
  out.bytes(std::string_view{"a\0b", 3});
  byte_reader in{std::string_view{bytes}};
  for (auto x : numbers) {
    CHECK(in.varint() == x);
    CHECK(in.u64() == x);
    CHECK(in.u32() == static_cast<uint32_t>(x));
  }
  CHECK(in.str().empty());
  CHECK(in.bytes() == std::string_view{"a\0b", 3});
  CHECK(in.done());
}

TEST_CASE("after the first failure every read gives nothing") {
  byte_reader in{std::string_view{"\x01\x02\x03"}};
  CHECK(in.u64() == 0);
  CHECK_FALSE(in.ok());
  CHECK(in.u8() == 0);
  CHECK(in.varint() == 0);
  CHECK(in.bytes().empty());
  CHECK(in.read_blob().empty());
  CHECK(in.remaining() == 0);
  CHECK_FALSE(in.done());
}

TEST_CASE("a varint of more than 64 bits is refused") {
  auto read = [](std::string_view bytes) {
    byte_reader in{bytes};
    in.varint();
    return in.done();
  };
  CHECK(read("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"));
  CHECK_FALSE(read("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02"));
  CHECK_FALSE(read("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x81"));
  CHECK_FALSE(read("\xff\xff"));
  CHECK_FALSE(read(""));
}

TEST_CASE("a count of more than can follow is refused") {
  auto count = [](std::string_view bytes, size_t element) {
    byte_reader in{bytes};
    auto n = in.count(element);
    return std::pair{in.ok(), n};
  };
  CHECK(count("\x02"
              "aabb",
              2) == std::pair{true, size_t{2}});
  CHECK(count("\x03"
              "aabb",
              2) == std::pair{false, size_t{0}});
  CHECK(count("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 16) == std::pair{false, size_t{0}});
  CHECK(count(std::string_view{"\0", 1}, 16) == std::pair{true, size_t{0}});
}

TEST_CASE("blobs read from a blob share its memory, those read from text are copies") {
  std::string bytes;
  byte_writer out{bytes};
  out.bytes("hello");
  auto owner = blob::copy_of(bytes);
  byte_reader sharing{owner};
  auto slice = sharing.read_blob();
  CHECK(slice.view() == "hello");
  CHECK(slice.data() == owner.data() + 1);
  byte_reader copying{std::string_view{bytes}};
  auto copy = copying.read_blob();
  bytes.assign(bytes.size(), 'x');
  CHECK(copy.view() == "hello");
}
