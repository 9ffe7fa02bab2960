/// Single steps of a request's way, by themselves: kai-micro-bench --help.

#include <cstdlib>
#include <random>

#include <benchmark/benchmark.h>

#include "protocol/memcache/text_parser.hpp"
#include "protocol/messages.hpp"
#include "protocol/quorum.hpp"
#include "protocol/topology.hpp"
#include "storage/make_engine.hpp"
#include "storage/record_codec.hpp"

namespace kai {
namespace {

constexpr uint32_t partitions = 256;
constexpr size_t value_bytes = 1024;

record record_of(size_t bytes, uint64_t clock = 1'000'000) {
  record x;
  version v;
  v.written = {7, clock};
  v.value = blob::copy_of(std::string(bytes, 'v'));
  overwrite(x, std::move(v));
  return x;
}

std::string key_number(size_t i) { return "kai-bench:" + std::to_string(i); }

void parse(benchmark::State& state, const std::string& commands, int count) {
  memcache::text_parser parser{1024 * 1024};
  memcache::parse_result result;
  for (auto _ : state) {
    parser.feed(commands);
    while (parser.next(result) != memcache::parse_status::input_pending)
      benchmark::DoNotOptimize(result.command.keys.data());
  }
  state.SetItemsProcessed(state.iterations() * count);
}

void parse_gets(benchmark::State& state) {
  std::string commands;
  for (int i = 0; i < 16; ++i)
    commands += "get " + key_number(static_cast<size_t>(i)) + "\r\n";
  parse(state, commands, 16);
}
BENCHMARK(parse_gets);

void parse_set(benchmark::State& state) {
  parse(state, "set kai-bench:1 0 0 1024\r\n" + std::string(value_bytes, 'v') + "\r\n", 1);
}
BENCHMARK(parse_set);

void merge_of_newer(benchmark::State& state) {
  auto old = record_of(value_bytes);
  auto next = old;
  version v;
  v.written = {9, 2'000'000};
  v.value = blob::copy_of("next");
  overwrite(next, std::move(v));
  for (auto _ : state)
    benchmark::DoNotOptimize(merge(old, next));
}
BENCHMARK(merge_of_newer);

void merge_of_siblings(benchmark::State& state) {
  record a;
  record b;
  for (int i = 0; i < state.range(0); ++i) {
    version v;
    v.written = {static_cast<node_id>(i + 1), 1'000'000};
    record x;
    overwrite(x, std::move(v));
    (i % 2 == 0 ? a : b) = merge(i % 2 == 0 ? a : b, x);
  }
  for (auto _ : state)
    benchmark::DoNotOptimize(merge(a, b));
}
BENCHMARK(merge_of_siblings)->Arg(2)->Arg(8);

void digest(benchmark::State& state) {
  auto x = record_of(value_bytes);
  for (auto _ : state)
    benchmark::DoNotOptimize(digest_of("kai-bench:1", x));
}
BENCHMARK(digest);

void pack(benchmark::State& state) {
  auto x = record_of(static_cast<size_t>(state.range(0)));
  std::string out;
  for (auto _ : state) {
    out.clear();
    pack_record(out, 1, area::data, "kai-bench:1", x);
    benchmark::DoNotOptimize(out.data());
  }
}
BENCHMARK(pack)->Arg(100)->Arg(1024)->Arg(65536);

void unpack(benchmark::State& state) {
  std::string out;
  pack_record(out, 1, area::data, "kai-bench:1", record_of(static_cast<size_t>(state.range(0))));
  auto bytes = blob::copy_of(out);
  for (auto _ : state)
    benchmark::DoNotOptimize(unpack_record(1, area::data, "kai-bench:1", bytes));
}
BENCHMARK(unpack)->Arg(100)->Arg(1024)->Arg(65536);

void find_partition(benchmark::State& state) {
  auto key = key_number(123);
  for (auto _ : state)
    benchmark::DoNotOptimize(partition_of(key_hash(key), partitions));
}
BENCHMARK(find_partition);

call_batch batch_of(int calls, bool stores) {
  call_batch x;
  for (int i = 0; i < calls; ++i) {
    call y;
    y.id = static_cast<uint64_t>(i);
    y.key = blob::copy_of(key_number(static_cast<size_t>(i)));
    if (stores)
      y.what = store_call{record_of(value_bytes)};
    else
      y.what = read_call{true};
    x.calls.push_back(std::move(y));
  }
  return x;
}

void encode_calls(benchmark::State& state) {
  auto x = batch_of(16, state.range(0) != 0);
  std::string out;
  for (auto _ : state) {
    out.clear();
    byte_writer writer{out};
    encode(writer, x);
    benchmark::DoNotOptimize(out.data());
  }
  state.SetItemsProcessed(state.iterations() * 16);
}
BENCHMARK(encode_calls)->ArgName("stores")->Arg(0)->Arg(1);

void decode_calls(benchmark::State& state) {
  std::string out;
  byte_writer writer{out};
  encode(writer, batch_of(16, state.range(0) != 0));
  auto bytes = blob::copy_of(out);
  for (auto _ : state) {
    byte_reader reader{bytes};
    benchmark::DoNotOptimize(decode_call_batch(reader));
  }
  state.SetItemsProcessed(state.iterations() * 16);
}
BENCHMARK(decode_calls)->ArgName("stores")->Arg(0)->Arg(1);

void decide_read(benchmark::State& state) {
  auto x = record_of(value_bytes);
  auto expected = digest_of("k", x);
  for (auto _ : state) {
    read_core core{{3, 2}, 0};
    core.on_record(0, "k", {x, true});
    core.on_digest(1, {expected, true});
    benchmark::DoNotOptimize(core.on_digest(2, {expected, true}));
  }
}
BENCHMARK(decide_read);

/// A memory engine with so many keys of 1 KB.
std::shared_ptr<engine> filled(size_t keys) {
  memory_engine_options options;
  options.partitions = partitions;
  std::shared_ptr<engine> result = make_engine(std::move(options));
  for (size_t i = 0; i < keys; ++i) {
    auto key = blob::copy_of(key_number(i));
    write_batch batch;
    batch.put(partition_of(key_hash(key.view()), partitions), area::data, key,
              record_of(value_bytes), {});
    if (result->write(batch))
      std::abort();
  }
  return result;
}

/// 16 keys at once, as a pipelining client asks, with the engine told of them before or not.
void memory_reads(benchmark::State& state) {
  constexpr size_t keys = 100'000;
  auto storage = filled(keys);
  std::mt19937_64 random{1};
  std::vector<std::string> wanted(16);
  std::vector<uint64_t> hashes(16);
  for (auto _ : state) {
    for (size_t i = 0; i < wanted.size(); ++i) {
      wanted[i] = key_number(random() % keys);
      hashes[i] = key_hash(wanted[i]);
    }
    if (state.range(0) != 0)
      storage->expect(hashes);
    for (size_t i = 0; i < wanted.size(); ++i)
      benchmark::DoNotOptimize(
          storage->read(partition_of(hashes[i], partitions), area::data, wanted[i]));
  }
  state.SetItemsProcessed(state.iterations() * 16);
}
BENCHMARK(memory_reads)->ArgName("expected")->Arg(0)->Arg(1);

} // namespace
} // namespace kai

BENCHMARK_MAIN();
