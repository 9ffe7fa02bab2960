#include "protocol/memcache/access_marks.hpp"

#include <catch2/catch.hpp>

namespace kai::memcache {

TEST_CASE("a value is marked when a client got it, and a new value is not", "[memcache]") {
  access_marks marks;
  CHECK_FALSE(marks.of(7, 100).fetched);
  CHECK(marks.of(7, 100).last == 100);
  marks.note(7, 100, 150);
  CHECK(marks.of(7, 100).fetched);
  CHECK(marks.of(7, 100).last == 150);
  CHECK_FALSE(marks.of(7, 101).fetched);
  CHECK_FALSE(marks.of(8, 100).fetched);
}

TEST_CASE("a counter keeps its marks as it counts", "[memcache]") {
  access_marks marks;
  marks.note(7, 100, 150);
  marks.carry_over(7, 200);
  marks.carry_over(8, 200);
  CHECK(marks.of(7, 200).fetched);
  CHECK_FALSE(marks.of(8, 200).fetched);
}

TEST_CASE("keys displace each other, and none is mistaken for another", "[memcache]") {
  access_marks marks;
  marks.note(3, 100, 150);
  marks.note(3 + limits::access_marks_max, 100, 151);
  CHECK_FALSE(marks.of(3, 100).fetched);
  CHECK(marks.of(3 + limits::access_marks_max, 100).fetched);
}

} // namespace kai::memcache
