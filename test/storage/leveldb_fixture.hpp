#pragma once

#include <memory>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include <catch2/catch.hpp>
#include <leveldb/db.h>

#include "protocol/errc.hpp"
#include "storage/leveldb_engine.hpp"
#include "test/storage/samples.hpp"
#include "test/support/memory_env.hpp"

namespace kai::test {

/// An engine on a disk in memory.
struct leveldb_fixture {
  memory_env env;
  std::vector<std::string> log;
  std::vector<std::optional<partition_id>> lost;
  std::unique_ptr<leveldb_engine> db;

  caf::error open(sync_mode sync = sync_mode::interval, size_t write_buffer = 64 * 1024) {
    leveldb_engine_options options;
    options.directory = "/db";
    options.sync = sync;
    options.env = &env;
    options.write_buffer_bytes = write_buffer;
    options.block_cache_bytes = 4096;
    options.settle = [this] { env.run_scheduled(); };
    options.hooks.log = [this](std::string line) { log.push_back(std::move(line)); };
    options.hooks.lost = [this](std::optional<partition_id> p) { lost.push_back(p); };
    db.reset();
    auto opened = leveldb_engine::open(std::move(options));
    if (!opened)
      return opened.error();
    db = std::move(*opened);
    return caf::none;
  }

  void crash() {
    env.crash();
    db.reset();
    env.power_on();
  }

  /// Works on the closed database by LevelDB itself, as nothing else gets its checksums right.
  template <class F>
  void raw(F f) {
    db.reset();
    leveldb::Options options;
    options.env = &env;
    leveldb::DB* made = nullptr;
    REQUIRE(leveldb::DB::Open(options, "/db", &made).ok());
    env.run_scheduled();
    f(*made);
    env.run_scheduled();
    delete made;
  }

  std::vector<std::string> files(std::string_view ending) {
    std::vector<std::string> result;
    for (auto& name : env.names())
      if (name.starts_with("/db/") && name.ends_with(ending))
        result.push_back(name);
    return result;
  }
};

inline std::string name(int i) { return "key" + std::to_string(i); }

/// The one value, "nothing", or the error's name.
inline std::string value_of(engine& db, const std::string& key) {
  auto x = get(db, key);
  if (!x)
    return to_string(errc{x.error().code()});
  return *x ? (**x).versions.at(0).value.str() : "nothing";
}

/// Values that do not compress.
inline std::string noise(uint64_t seed, size_t size) {
  std::mt19937_64 random{seed};
  std::string result(size, '\0');
  for (auto& c : result)
    c = static_cast<char>(random());
  return result;
}

} // namespace kai::test
