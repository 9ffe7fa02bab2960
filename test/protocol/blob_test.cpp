#include "protocol/blob.hpp"

#include <thread>
#include <vector>

#include <catch2/catch.hpp>

using namespace kai;

TEST_CASE("an empty blob has no bytes and equals every other empty one") {
  blob x;
  CHECK(x.empty());
  CHECK(x.view().data() != nullptr);
  CHECK(x == blob::copy_of(""));
  CHECK(x == blob::copy_of("abc").slice(1, 0));
  CHECK(blob::uninitialized(0).mutable_data() == nullptr);
}

TEST_CASE("copies and slices share one allocation, which outlives its maker") {
  blob part;
  {
    auto whole = blob::copy_of("hello world");
    auto copy = whole;
    CHECK(copy.data() == whole.data());
    part = whole.slice(6, 5);
    CHECK(part.data() == whole.data() + 6);
    part = part.slice(1, 3);
  }
  CHECK(part.view() == "orl");
}

TEST_CASE("a moved blob is empty, and assigning a blob to itself changes nothing") {
  auto x = blob::copy_of("abc");
  auto y = std::move(x);
  CHECK(x.empty());
  CHECK(y.view() == "abc");
  auto& same = y;
  y = same;
  CHECK(y.view() == "abc");
  x = y;
  CHECK(x == y);
}

TEST_CASE("blobs compare as strings of bytes") {
  CHECK(blob::copy_of("abc") < blob::copy_of("abd"));
  CHECK(blob::copy_of("ab") < blob::copy_of("abc"));
  CHECK(blob::copy_of("\xff") > blob::copy_of("a"));
  CHECK(blob::copy_of("abc") == blob::copy_of("xabcx").slice(1, 3));
}

TEST_CASE("compact copies a small part of a large allocation and nothing else") {
  auto large = blob::copy_of(std::string(10'000, 'a'));
  auto small = large.slice(5, 10).compact();
  CHECK(small == large.slice(5, 10));
  CHECK(small.data() != large.data() + 5);
  CHECK(large.compact().data() == large.data());
  auto most = large.slice(1, 9'000);
  CHECK(most.compact().data() == most.data());
  CHECK(blob{}.compact().empty());
}

TEST_CASE("threads may copy, slice and drop one blob at once") {
  auto shared = blob::copy_of(std::string(1000, 'z'));
  std::vector<std::thread> threads;
  std::atomic<int> right{0};
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&, mine = shared] {
      for (size_t i = 0; i < 5000; ++i) {
        auto copy = mine;
        auto part = copy.slice(i % 900, 100);
        copy = blob{};
        if (part.size() == 100 && part.view()[99] == 'z')
          ++right;
      }
    });
  shared = blob{};
  for (auto& x : threads)
    x.join();
  CHECK(right == 20'000);
}
