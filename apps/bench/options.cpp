#include "apps/bench/options.hpp"

#include <algorithm>
#include <functional>
#include <map>
#include <optional>

#include "apps/bench/limits.hpp"
#include "apps/bench/units.hpp"
#include "apps/bench/value.hpp"
#include "protocol/errc.hpp"

namespace kai::bench {

namespace {

constexpr std::string_view text_of_help =
    R"(kai-bench: load for any memcache server, and how it answered

  kai-bench [--OPTION=VALUE ...]
  kai-bench report FILE.json [FILE.json ...] --report=FILE.html

  --servers=HOST:PORT,...   where to connect, connections in turn    127.0.0.1:11211
  --protocol=text|meta      get and set, or mg and ms                text
  --threads=N               client threads                           1
  --connections=N           of all threads together                  50
  --pipeline=N              requests under way per connection        1
  --get-ratio=FRACTION      share of reads, 0 to 1                   0.8
  --keys=N                  number of keys                           10000
  --key-prefix=TEXT         what keys begin with                     kai-bench:
  --distribution=NAME       uniform or zipf                          uniform
  --zipf-theta=FRACTION     skew of zipf, above 0                    0.99
  --value-size=BYTES[-BYTES]  size of values, or a range             1024
  --duration=TIME           what is measured; 0s with --preload only 10s
  --warmup=TIME             run before it, not measured              1s
  --timeout=TIME            a later answer counts as none            5s
  --rate=N                  requests/s at fixed times, latency from
                            the intended one; 0: as fast as answered 0
  --preload                 first store every key
  --verify                  check every value, and that no read is
                            older than what was acknowledged before
                            it (writes that were alone on their key)
  --seed=N                  of keys, kinds and sizes                 1
  --label=TEXT              the run's name in reports                the servers
  --json=FILE|-             all results, as JSON
  --report=FILE.html        all results, as one page
  --quiet                   no progress line

Sizes take k, m, g; times take us, ms, s, min, h. Exit status: 0; 1 when nothing
succeeded, preloading failed or verification failed; 2 for a wrong option.
)";

caf::error wrong(std::string_view option, std::string_view value, std::string_view takes) {
  return failure(errc::bad_configuration, "--" + std::string{option} + ": '" + std::string{value} +
                                              "' is not " + std::string{takes});
}

std::optional<server_name> parse_server(std::string_view text) {
  auto colon = text.rfind(':');
  if (colon == std::string_view::npos)
    return std::nullopt;
  auto host = text.substr(0, colon);
  auto port = parse_number(text.substr(colon + 1));
  if (host.size() > 2 && host.front() == '[' && host.back() == ']')
    host = host.substr(1, host.size() - 2);
  else if (host.find_first_of(":[]") != std::string_view::npos)
    return std::nullopt;
  if (host.empty() || !port || *port == 0 || *port > 65535)
    return std::nullopt;
  return server_name{std::string{host}, static_cast<uint16_t>(*port)};
}

std::optional<std::vector<server_name>> parse_servers(std::string_view text) {
  std::vector<server_name> result;
  for (;;) {
    auto comma = text.find(',');
    auto server = parse_server(text.substr(0, comma));
    if (!server)
      return std::nullopt;
    result.push_back(std::move(*server));
    if (comma == std::string_view::npos)
      return result;
    text.remove_prefix(comma + 1);
  }
}

// A setter returns an empty text, or what the option takes.
using setter = std::function<std::string(command_line&, std::string_view)>;

setter number(uint64_t run_options::*field, uint64_t min, uint64_t max) {
  return [=](command_line& line, std::string_view text) -> std::string {
    auto x = parse_number(text);
    if (!x || *x < min || *x > max)
      return "a number from " + std::to_string(min) + " to " + std::to_string(max);
    line.run.*field = *x;
    return {};
  };
}

setter fraction(double run_options::*field, double min, double max, const char* takes) {
  return [=](command_line& line, std::string_view text) -> std::string {
    auto x = parse_fraction(text);
    if (!x || *x < min || *x > max)
      return takes;
    line.run.*field = *x;
    return {};
  };
}

setter duration(std::chrono::nanoseconds run_options::*field, bool zero) {
  return [=](command_line& line, std::string_view text) -> std::string {
    auto x = parse_duration(text);
    if (!x || (!zero && x->count() == 0))
      return "a time such as 500ms, 10s or 1min";
    line.run.*field = *x;
    return {};
  };
}

setter file(std::string command_line::*field) {
  return [=](command_line& line, std::string_view text) -> std::string {
    if (text.empty())
      return "a file";
    line.*field = text;
    return {};
  };
}

std::string set_servers(command_line& line, std::string_view text) {
  auto servers = parse_servers(text);
  if (!servers)
    return "HOST:PORT, or several with commas between";
  line.run.servers = std::move(*servers);
  return {};
}

std::string set_value_size(command_line& line, std::string_view text) {
  auto dash = text.find('-');
  auto min = parse_bytes(text.substr(0, dash));
  auto max = dash == std::string_view::npos ? min : parse_bytes(text.substr(dash + 1));
  if (!min || !max || *min > *max || *max > limits::value_bytes_max)
    return "a size such as 1024 or 1k, or a range such as 100-2k, of at most 64m";
  line.run.value_bytes_min = *min;
  line.run.value_bytes_max = *max;
  return {};
}

std::string set_prefix(command_line& line, std::string_view text) {
  auto fits = [](char c) { return static_cast<unsigned char>(c) > ' ' && c != 127; };
  if (text.size() > limits::key_prefix_bytes_max || !std::all_of(text.begin(), text.end(), fits))
    return "a text of at most " + std::to_string(limits::key_prefix_bytes_max) +
           " bytes without spaces and control characters";
  line.run.key_prefix = text;
  return {};
}

template <class Kind>
setter choice(Kind run_options::*field, std::vector<Kind> kinds) {
  return [=](command_line& line, std::string_view text) -> std::string {
    std::string names;
    for (auto kind : kinds) {
      if (to_string(kind) == text) {
        line.run.*field = kind;
        return {};
      }
      names += (names.empty() ? "" : " or ") + to_string(kind);
    }
    return names;
  };
}

const std::map<std::string, setter, std::less<>>& setters() {
  using o = run_options;
  static const std::map<std::string, setter, std::less<>> result{
      {"servers", set_servers},
      {"protocol", choice(&o::protocol, std::vector{protocol_kind::text, protocol_kind::meta})},
      {"threads", number(&o::threads, 1, limits::threads_max)},
      {"connections", number(&o::connections, 1, limits::connections_max)},
      {"pipeline", number(&o::pipeline, 1, limits::pipeline_max)},
      {"get-ratio", fraction(&o::get_ratio, 0, 1, "a fraction from 0 to 1")},
      {"keys", number(&o::keys, 1, limits::keys_max)},
      {"key-prefix", set_prefix},
      {"distribution",
       choice(&o::distribution, std::vector{distribution_kind::uniform, distribution_kind::zipf})},
      {"zipf-theta", fraction(&o::zipf_theta, 0.01, 10, "a fraction from 0.01 to 10")},
      {"value-size", set_value_size},
      {"duration", duration(&o::duration, true)},
      {"warmup", duration(&o::warmup, true)},
      {"timeout", duration(&o::timeout, false)},
      {"rate", number(&o::rate, 0, limits::rate_max)},
      {"seed", number(&o::seed, 0, UINT64_MAX)},
      {"label",
       [](command_line& line, std::string_view text) {
         line.run.label = text;
         return std::string{};
       }},
      {"json", file(&command_line::json_file)},
      {"report", file(&command_line::html_file)},
  };
  return result;
}

const std::map<std::string, std::function<void(command_line&)>, std::less<>>& flags() {
  static const std::map<std::string, std::function<void(command_line&)>, std::less<>> result{
      {"preload", [](command_line& line) { line.run.preload = true; }},
      {"verify", [](command_line& line) { line.run.verify = true; }},
      {"quiet", [](command_line& line) { line.quiet = true; }},
      {"help", [](command_line& line) { line.help = true; }},
  };
  return result;
}

caf::error set_option(command_line& line, std::string_view text) {
  auto equals = text.find('=');
  auto name = text.substr(0, equals);
  auto has_value = equals != std::string_view::npos;
  if (auto flag = flags().find(name); flag != flags().end()) {
    if (has_value)
      return failure(errc::bad_configuration, "--" + std::string{name} + ": takes no value");
    flag->second(line);
    return {};
  }
  auto option = setters().find(name);
  if (option == setters().end())
    return failure(errc::bad_configuration,
                   "--" + std::string{name} + ": no such option; see kai-bench --help");
  if (!has_value)
    return failure(errc::bad_configuration, "--" + std::string{name} + ": needs a value, as in --" +
                                                std::string{name} + "=VALUE");
  auto value = text.substr(equals + 1);
  if (auto takes = option->second(line, value); !takes.empty())
    return wrong(name, value, takes);
  return {};
}

caf::error check_together(const command_line& line) {
  const auto& run = line.run;
  auto refuse = [](std::string text) { return failure(errc::bad_configuration, std::move(text)); };
  if (line.report_only) {
    if (line.report_inputs.empty())
      return refuse("report: needs at least one JSON file");
    if (line.html_file.empty())
      return refuse("--report: name the page to write, as in --report=FILE.html");
    return {};
  }
  if (run.threads > run.connections)
    return refuse("--threads: more threads than connections");
  if (run.duration.count() == 0 && !run.preload)
    return refuse("--duration: 0 is for --preload alone");
  if (run.verify && run.value_bytes_min < value_header_bytes)
    return refuse("--value-size: --verify needs values of at least " +
                  std::to_string(value_header_bytes) + " bytes");
  if (run.verify && run.keys > limits::verified_keys_max)
    return refuse("--keys: --verify takes at most " + std::to_string(limits::verified_keys_max));
  return {};
}

} // namespace

caf::expected<command_line> parse_command_line(const std::vector<std::string>& arguments) {
  command_line line;
  for (size_t i = 0; i < arguments.size(); ++i) {
    std::string_view argument = arguments[i];
    if (argument.starts_with("--")) {
      if (auto err = set_option(line, argument.substr(2)))
        return err;
    } else if (i == 0 && argument == "report") {
      line.report_only = true;
    } else if (argument == "-h") {
      line.help = true;
    } else if (line.report_only && !argument.starts_with("-")) {
      line.report_inputs.emplace_back(argument);
    } else {
      return failure(errc::bad_configuration, "'" + arguments[i] + "': options begin with --");
    }
  }
  if (line.help)
    return line;
  if (auto err = check_together(line))
    return err;
  if (line.run.label.empty()) {
    for (const auto& server : line.run.servers)
      line.run.label += (line.run.label.empty() ? "" : ",") + to_string(server);
  }
  return line;
}

std::string_view help_text() { return text_of_help; }

std::string to_string(const server_name& server) {
  auto v6 = server.host.find(':') != std::string::npos;
  return (v6 ? "[" + server.host + "]" : server.host) + ":" + std::to_string(server.port);
}

std::string to_string(protocol_kind kind) { return kind == protocol_kind::text ? "text" : "meta"; }

std::string to_string(distribution_kind kind) {
  return kind == distribution_kind::uniform ? "uniform" : "zipf";
}

} // namespace kai::bench
