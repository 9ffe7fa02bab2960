#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <caf/error.hpp>
#include <caf/expected.hpp>
#include <caf/timespan.hpp>

#include "storage/engine.hpp"

namespace kai {

/// What a client sees of concurrent versions (cluster.conflicts).
enum class conflicts_mode : uint8_t { latest, siblings };

/// Where a node keeps its records (storage.engine).
enum class engine_kind : uint8_t { leveldb, memory };

/// What a full memory engine does (storage.evict).
enum class eviction : uint8_t { none, lru };

/// HOST:PORT taken apart; `host` without the brackets of an IPv6 address.
struct host_port {
  std::string host;
  uint16_t port = 0;
};

/// Reads `HOST:PORT` or `[v6]:PORT`. An error says what is wrong with the text.
caf::expected<host_port> parse_host_port(std::string_view text);

/// The inverse: with brackets where the host is an IPv6 address.
std::string to_host_port(std::string_view host, uint16_t port);

/// What a node is started with: one struct per option group, with the defaults that conf/kai.conf
/// lists. Plain values; the text forms are apps/options.hpp.
struct node_options {
  struct {
    /// Empty: the cluster address and port, as bound.
    std::string name;
    /// Empty: a failure domain of its own.
    std::string zone;
  } node;

  struct {
    std::string address = "127.0.0.1";
    /// 0: any free one.
    uint16_t port = 11211;
    size_t max_connections = 1024;
    /// Bytes of a value.
    size_t max_item_size = 1024 * 1024;
    /// A file of `user:password` lines; empty: nobody has to authenticate.
    std::string auth_file;
  } memcache;

  struct {
    std::string address = "127.0.0.1";
    /// 0: any free one.
    uint16_t port = 11011;
    /// HOST:PORT each. Empty: found a new cluster.
    std::vector<std::string> seeds;
    uint16_t replicas = 3;
    /// 0: the majority of `replicas`.
    uint16_t read_quorum = 0;
    uint16_t write_quorum = 0;
    uint32_t partitions = 256;
    conflicts_mode conflicts = conflicts_mode::latest;
  } cluster;

  struct {
    engine_kind engine = engine_kind::leveldb;
    std::string directory = "data";
    sync_mode sync = sync_mode::interval;
    /// How long delete marks stay at least.
    caf::timespan grace = std::chrono::hours{1};
    /// Bytes for the memory engine; 0: no limit.
    uint64_t memory_limit = 0;
    eviction evict = eviction::none;
    /// Bytes of records that LevelDB's are kept in memory with; 0: limits::cached_record_bytes.
    uint64_t cache = 0;

    /// Whether the node is a cache: records may go by themselves.
    bool evicts() const {
      return engine == engine_kind::memory && memory_limit != 0 && evict == eviction::lru;
    }
  } storage;

  struct {
    std::string address = "127.0.0.1";
    /// nullopt: off; 0: any free one.
    std::optional<uint16_t> port;
  } admin;

  /// R and W with the majority filled in.
  uint16_t read_quorum_or_majority() const;
  uint16_t write_quorum_or_majority() const;

  /// Every rule on single values and between them. errc::bad_configuration, and the message begins
  /// with the option's name, for example "cluster.read-quorum: 4 is more than ...".
  caf::error validate() const;
};

} // namespace kai
