#include "protocol/messages.hpp"

#include <catch2/catch.hpp>

#include <caf/binary_deserializer.hpp>
#include <caf/binary_serializer.hpp>

#include "protocol/limits.hpp"
#include "test/protocol/random_records.hpp"

using namespace kai;

namespace {

mutation some_mutation() {
  mutation x;
  x.kind = mutation_kind::compare_and_set;
  x.flags = 7;
  x.expires = 1'700'000'000'000'000;
  x.delta = 3;
  x.compare = 99;
  x.value = blob::copy_of("value");
  return x;
}

call make_call(uint64_t id, decltype(call::what) what) {
  call x;
  x.id = id;
  x.partition = 513;
  x.key = blob::copy_of("key" + std::to_string(id));
  x.what = std::move(what);
  return x;
}

answer_batch every_answer();

call_batch every_call() {
  call_batch x;
  x.header = {1'700'000'000'000'000, 12};
  x.calls.push_back(make_call(1, read_call{false}));
  x.calls.push_back(make_call(200, read_call{true}));
  x.calls.push_back(make_call(UINT64_MAX, store_call{random_record(3)}));
  x.calls.push_back(make_call(4, lead_call{some_mutation()}));
  x.calls.push_back(make_call(5, service_call{"topology", std::string{"a\0b", 3}}));
  x.calls.push_back(make_call(6, hint_call{"node-b", random_record(7)}));
  x.calls.push_back(make_call(7, tree_call{0x123456789abcdef0}));
  x.calls.push_back(make_call(8, leaf_call{65535}));
  x.answers_for = 300;
  x.answers = every_answer();
  return x;
}

answer_batch every_answer() {
  outcome got;
  got.kind = outcome_kind::value;
  got.number = 5;
  got.cas = 1 << 20;
  got.found = random_record(4).versions[0];
  answer_batch x;
  x.header = {5, UINT64_MAX};
  x.answers.push_back({1, failed_answer{errc::storage_failed, true, "the disk is full"}});
  x.answers.push_back({2, record_answer{random_record(5), false}});
  x.answers.push_back({3, record_answer{{}, true}});
  x.answers.push_back({4, digest_answer{0xfedcba9876543210, true}});
  x.answers.push_back(
      {5, stored_answer{77, true, std::make_shared<const record>(random_record(8))}});
  x.answers.push_back({6, lead_answer{got}});
  x.answers.push_back({7, applied_answer{got, random_record(6)}});
  x.answers.push_back({8, text_answer{"{}"}});
  x.answers.push_back({9, tree_answer{{1, 0, UINT64_MAX}}});
  x.answers.push_back({10, leaf_answer{{{blob::copy_of("k"), 2, 3, 4}, {{}, 5, 6, 0}}}});
  return x;
}

hello some_hello() {
  hello x;
  x.protocol = 1;
  x.cluster_id = 77;
  x.name = "node-a";
  x.id = 5;
  x.incarnation = UINT64_MAX;
  x.header = {9, 10};
  return x;
}

template <class T>
std::string bytes_of(const T& x) {
  std::string bytes;
  byte_writer out{bytes};
  encode(out, x);
  return bytes;
}

template <class T>
T through_caf(T x) {
  std::vector<char> buffer;
  caf::binary_serializer sink{nullptr, buffer};
  REQUIRE_FALSE(sink(x));
  T result;
  caf::binary_deserializer source{nullptr, buffer};
  REQUIRE_FALSE(source(result));
  REQUIRE(source.remaining() == 0);
  return result;
}

/// Whether CAF takes `bytes` for a T.
template <class T>
bool caf_takes(const std::string& bytes) {
  std::vector<char> buffer;
  caf::binary_serializer sink{nullptr, buffer};
  auto raw = blob::copy_of(bytes);
  REQUIRE_FALSE(inspect(sink, raw));
  T result;
  caf::binary_deserializer source{nullptr, buffer};
  return !source(result);
}

template <class Decode>
void refuses_every_prefix(const std::string& bytes, Decode decode) {
  for (size_t n = 0; n < bytes.size(); ++n) {
    INFO(n << " of " << bytes.size() << " bytes");
    byte_reader in{std::string_view{bytes}.substr(0, n)};
    decode(in);
    REQUIRE_FALSE(in.ok());
  }
}

template <class Decode>
void survives_flipped_bits(const std::string& bytes, Decode decode) {
  std::mt19937_64 random{11};
  for (int i = 0; i < 3000; ++i) {
    auto damaged = bytes;
    for (auto n = random() % 3 + 1; n > 0; --n)
      damaged[random() % damaged.size()] ^= static_cast<char>(1 << random() % 8);
    auto whole = blob::copy_of(damaged);
    byte_reader in{whole};
    auto x = decode(in);
    // What was taken can be sent on.
    if (in.done())
      REQUIRE(bytes_of(x).size() <= damaged.size() + 64);
  }
}

} // namespace

TEST_CASE("every kind of call survives the way to another node") {
  auto x = every_call();
  auto y = through_caf(x);
  CHECK(bytes_of(y) == bytes_of(x));
  CHECK(y.header.clock == x.header.clock);
  CHECK(y.header.epoch == 12);
  REQUIRE(y.calls.size() == x.calls.size());
  for (size_t i = 0; i < x.calls.size(); ++i) {
    CHECK(y.calls[i].id == x.calls[i].id);
    CHECK(y.calls[i].partition == 513);
    CHECK(y.calls[i].key == x.calls[i].key);
    CHECK(y.calls[i].what.index() == x.calls[i].what.index());
  }
  CHECK_FALSE(std::get<read_call>(y.calls[0].what).digest_only);
  CHECK(std::get<read_call>(y.calls[1].what).digest_only);
  CHECK(std::get<store_call>(y.calls[2].what).value == random_record(3));
  CHECK(std::get<lead_call>(y.calls[3].what).what == some_mutation());
  CHECK(std::get<service_call>(y.calls[4].what).service == "topology");
  CHECK(std::get<service_call>(y.calls[4].what).request == std::string_view{"a\0b", 3});
  CHECK(std::get<hint_call>(y.calls[5].what).target == "node-b");
  CHECK(std::get<hint_call>(y.calls[5].what).value == random_record(7));
  CHECK(std::get<tree_call>(y.calls[6].what).root == 0x123456789abcdef0);
  CHECK(std::get<leaf_call>(y.calls[7].what).leaf == 65535);
  CHECK(y.answers_for == 300);
  CHECK(bytes_of(y.answers) == bytes_of(every_answer()));
}

TEST_CASE("every kind of answer survives the way to another node") {
  auto x = every_answer();
  auto y = through_caf(x);
  CHECK(bytes_of(y) == bytes_of(x));
  CHECK(y.header.epoch == UINT64_MAX);
  REQUIRE(y.answers.size() == x.answers.size());
  auto& failed = std::get<failed_answer>(y.answers[0].what);
  CHECK(failed.reason == errc::storage_failed);
  CHECK(failed.unchanged);
  CHECK(failed.message == "the disk is full");
  CHECK(std::get<record_answer>(y.answers[1].what).value == random_record(5));
  CHECK_FALSE(std::get<record_answer>(y.answers[1].what).caught_up);
  CHECK(std::get<record_answer>(y.answers[2].what).value.empty());
  CHECK(std::get<digest_answer>(y.answers[3].what).digest == 0xfedcba9876543210);
  CHECK(std::get<stored_answer>(y.answers[4].what).shadowed_by == 77);
  CHECK(std::get<stored_answer>(y.answers[4].what).replaced);
  REQUIRE(std::get<stored_answer>(y.answers[4].what).siblings);
  CHECK(*std::get<stored_answer>(y.answers[4].what).siblings == random_record(8));
  auto& led = std::get<lead_answer>(y.answers[5].what).result;
  CHECK(led == std::get<lead_answer>(x.answers[5].what).result);
  CHECK(std::get<applied_answer>(y.answers[6].what).value == random_record(6));
  CHECK(std::get<text_answer>(y.answers[7].what).text == "{}");
  CHECK(std::get<tree_answer>(y.answers[8].what).leaves ==
        std::get<tree_answer>(x.answers[8].what).leaves);
  CHECK(std::get<leaf_answer>(y.answers[9].what).entries ==
        std::get<leaf_answer>(x.answers[9].what).entries);
}

TEST_CASE("a hello and batches without anything survive the way, too") {
  auto x = through_caf(some_hello());
  CHECK(bytes_of(x) == bytes_of(some_hello()));
  CHECK(x.name == "node-a");
  CHECK(x.incarnation == UINT64_MAX);
  CHECK(through_caf(call_batch{{3, 4}, {}}).header.epoch == 4);
  CHECK(through_caf(answer_batch{{3, 4}, {}}).header.clock == 3);
}

TEST_CASE("values that arrive are slices of their batch") {
  auto whole = blob::copy_of(bytes_of(every_call()));
  byte_reader in{whole};
  auto x = decode_call_batch(in);
  REQUIRE(in.done());
  auto inside = [&](const blob& y) {
    return y.data() >= whole.data() && y.data() + y.size() <= whole.data() + whole.size();
  };
  CHECK(inside(x.calls[0].key));
  CHECK(inside(std::get<lead_call>(x.calls[3].what).what.value));
}

TEST_CASE("nothing shorter than a message is taken for one") {
  refuses_every_prefix(bytes_of(every_call()), decode_call_batch);
  refuses_every_prefix(bytes_of(every_answer()), decode_answer_batch);
  refuses_every_prefix(bytes_of(some_hello()), decode_hello);
  CHECK(caf_takes<call_batch>(bytes_of(every_call())));
  CHECK_FALSE(caf_takes<call_batch>(bytes_of(every_call()) + "x"));
  CHECK_FALSE(caf_takes<answer_batch>(bytes_of(every_answer()) + "x"));
  CHECK_FALSE(caf_takes<hello>(""));
}

TEST_CASE("messages with flipped bits never do harm") {
  survives_flipped_bits(bytes_of(every_call()), decode_call_batch);
  survives_flipped_bits(bytes_of(every_answer()), decode_answer_batch);
  survives_flipped_bits(bytes_of(some_hello()), decode_hello);
}

TEST_CASE("a count that promises too much reserves nothing") {
  std::string bytes;
  byte_writer out{bytes};
  out.u64(1);
  out.varint(1);
  out.varint(UINT64_MAX / 8);
  out.bytes(std::string(1000, '\0'));
  byte_reader calls{std::string_view{bytes}};
  CHECK(decode_call_batch(calls).calls.capacity() == 0);
  CHECK_FALSE(calls.ok());
  byte_reader answers{std::string_view{bytes}};
  CHECK(decode_answer_batch(answers).answers.capacity() == 0);
  CHECK_FALSE(answers.ok());
  // One that the bytes could hold is believed up to a whole batch only.
  std::string full = bytes.substr(0, 9);
  byte_writer more{full};
  more.varint(100'000);
  full.append(600'000, '\xff');
  byte_reader many{std::string_view{full}};
  CHECK(decode_call_batch(many).calls.capacity() <= limits::batch_calls_max);
  CHECK_FALSE(many.ok());
}

TEST_CASE("a message of CAF that claims more bytes than there are is refused") {
  std::vector<char> buffer;
  caf::binary_serializer sink{nullptr, buffer};
  auto claimed = limits::message_bytes_max + 1;
  REQUIRE_FALSE(sink.begin_sequence(claimed));
  call_batch x;
  caf::binary_deserializer too_large{nullptr, buffer};
  CHECK(too_large(x));
  buffer.clear();
  claimed = 1000;
  caf::binary_serializer again{nullptr, buffer};
  REQUIRE_FALSE(again.begin_sequence(claimed));
  buffer.resize(buffer.size() + 10);
  caf::binary_deserializer too_short{nullptr, buffer};
  CHECK(too_short(x));
}

TEST_CASE("calls that only a node's own actors may make are refused from outside") {
  std::string bytes;
  byte_writer out{bytes};
  out.u64(1);
  out.varint(1);
  out.varint(1);
  out.varint(9);
  out.u16(0);
  out.bytes("key");
  out.u8(3);
  out.bytes(std::string(64, '\0'));
  byte_reader in{std::string_view{bytes}};
  decode_call_batch(in);
  CHECK_FALSE(in.ok());
}

TEST_CASE("what limits count grows with keys and values") {
  auto size = [](size_t bytes) {
    return size_of(make_call(1, store_call{with_version(1, 2, std::string(bytes, 'x'))}));
  };
  CHECK(size(1000) - size(0) == 1000);
  CHECK(size_of(make_call(1, read_call{})) >= 4);
  for (auto& x : every_call().calls)
    CHECK(size_of(x) >= x.key.size());
  for (auto& x : every_answer().answers)
    CHECK(size_of(x) > 0);
}

TEST_CASE("calls with large values have longer") {
  using namespace std::chrono_literals;
  auto usual = limits::call_deadline;
  auto megabytes = [](size_t n) { return blob::copy_of(std::string(n << 20, 'x')); };
  auto store = [&](size_t n) {
    version v;
    v.written = {1, 1};
    v.value = megabytes(n);
    store_call x;
    overwrite(x.value, v);
    return deadline_of(make_call(1, std::move(x)));
  };
  CHECK(store(0) == usual);
  CHECK(store(16) == usual + 256ms);
  CHECK(store(128) == usual + limits::large_value_extra_max);
  CHECK(deadline_of(make_call(1, read_call{})) == usual);
  auto lead = [&](mutation_kind kind, size_t n) {
    mutation x;
    x.kind = kind;
    x.value = megabytes(n);
    // Who leads what may run twice has time to store what it decided in time.
    if (repeatable(x))
      CHECK(decide_within(x) + limits::call_deadline + extra_for(x.value.size()) <
            lead_deadline_of(x));
    return deadline_of(make_call(1, lead_call{x}));
  };
  CHECK(lead(mutation_kind::set, 0) == limits::blind_lead_deadline);
  CHECK(lead(mutation_kind::set, 16) == limits::blind_lead_deadline + 512ms);
  CHECK(lead(mutation_kind::remove, 0) == limits::blind_lead_deadline);
  CHECK(lead(mutation_kind::increment, 0) == limits::lead_deadline);
  CHECK(lead(mutation_kind::set, 128) ==
        limits::blind_lead_deadline + 2 * limits::large_value_extra_max);
  // What is of an older view does not outlive the peers of that view.
  CHECK(limits::lead_deadline + 2 * limits::large_value_extra_max < limits::peer_retired);
}
