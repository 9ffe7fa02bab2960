#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <caf/expected.hpp>

namespace kai::bench {

enum class protocol_kind : uint8_t { text, meta };
enum class distribution_kind : uint8_t { uniform, zipf };

/// One server as given: a name, an IPv4 address, or an IPv6 address without its brackets.
struct server_name {
  std::string host;
  uint16_t port = 0;
};

/// What a run does. The defaults are those of the command line.
struct run_options {
  std::vector<server_name> servers{{"127.0.0.1", 11211}};
  protocol_kind protocol = protocol_kind::text;
  uint64_t threads = 1;
  uint64_t connections = 50;
  uint64_t pipeline = 1;
  double get_ratio = 0.8;
  uint64_t keys = 10'000;
  std::string key_prefix = "kai-bench:";
  distribution_kind distribution = distribution_kind::uniform;
  double zipf_theta = 0.99;
  uint64_t value_bytes_min = 1024;
  uint64_t value_bytes_max = 1024;
  std::chrono::nanoseconds duration = std::chrono::seconds{10};
  std::chrono::nanoseconds warmup = std::chrono::seconds{1};
  std::chrono::nanoseconds timeout = std::chrono::seconds{5};
  /// Requests per second of all threads together; 0 is the closed loop.
  uint64_t rate = 0;
  bool preload = false;
  bool verify = false;
  uint64_t seed = 1;
  std::string label;
};

/// The whole command line.
struct command_line {
  /// `kai-bench report`: make a page of earlier runs' JSON files instead of running.
  bool report_only = false;
  bool help = false;
  bool quiet = false;
  std::vector<std::string> report_inputs;
  run_options run;
  /// A file, "-" for standard output, or empty for none.
  std::string json_file;
  std::string html_file;
};

/// Reads the arguments after the program's name. Errors name the option and say what it takes.
caf::expected<command_line> parse_command_line(const std::vector<std::string>& arguments);

/// Every option with its default, for `--help`.
std::string_view help_text();

/// "127.0.0.1:11211", with brackets around an IPv6 address.
std::string to_string(const server_name& server);
std::string to_string(protocol_kind kind);
std::string to_string(distribution_kind kind);

} // namespace kai::bench
