#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>

/// What kai-bench accepts and keeps at most. Its own, because it is a client and not part of a
/// node.
namespace kai::bench::limits {

inline constexpr uint64_t threads_max = 64;
inline constexpr uint64_t connections_max = 10'000;
inline constexpr uint64_t pipeline_max = 4096;
inline constexpr uint64_t keys_max = 1'000'000'000;
inline constexpr uint64_t rate_max = 100'000'000;

/// Keys whose history `--verify` can keep: 12 bytes each.
inline constexpr uint64_t verified_keys_max = 100'000'000;

inline constexpr uint64_t value_bytes_max = 64 * 1024 * 1024;

/// Room for the key's number within memcache's 250 bytes.
inline constexpr size_t key_prefix_bytes_max = 200;

/// One line of an answer. A longer one is not memcache.
inline constexpr size_t answer_line_bytes_max = 4096;

/// One read from a socket.
inline constexpr size_t read_bytes = 64 * 1024;

/// Kinds of errors told apart; more are counted as "other".
inline constexpr size_t error_kinds_max = 64;

/// Attempts to store one key while preloading, and the wait before each retry, times the attempt.
inline constexpr uint32_t preload_attempts_max = 20;
inline constexpr std::chrono::milliseconds preload_retry_wait{50};

/// Requests under way on one connection while preloading, unless --pipeline is larger, and bytes of
/// values among them.
inline constexpr uint64_t preload_pipeline = 16;
inline constexpr uint64_t preload_bytes_in_flight = 1024 * 1024;

/// Waits between attempts to connect; they double.
inline constexpr std::chrono::milliseconds reconnect_min{20};
inline constexpr std::chrono::milliseconds reconnect_max{1000};

/// How often connections are looked at for time-outs and reconnects.
inline constexpr std::chrono::milliseconds tick{10};

} // namespace kai::bench::limits
