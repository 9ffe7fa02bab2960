#pragma once

#include <span>
#include <string>
#include <string_view>

#include <caf/error.hpp>
#include <caf/expected.hpp>

#include "actors/log.hpp"
#include "actors/node_options.hpp"

/// The text forms of every option: what the command line, the configuration file, the usage text
/// and conf/kai.conf have in common.
namespace kai {

/// What the options of a process say.
struct process_options {
  node_options node;
  /// Of one host; each is a member of the cluster by itself (plan_host).
  size_t loops = 1;
  log_level log = log_level::info;
};

/// How a value is written in the configuration file.
enum class value_form : uint8_t {
  /// Bare: 11211
  number,
  /// In quotes: "127.0.0.1"
  text,
  /// Bare or in quotes: 1m, 1h, memory
  word,
  /// In quotes, or several in brackets: ["a:1", "b:1"]
  list,
};

struct option {
  /// GROUP.KEY
  std::string_view name;
  /// 0: has none.
  char short_form;
  value_form form;
  /// What stands for the value in the usage text.
  std::string_view value_name;
  std::string_view help;
  /// Sets the option from its text; several values of a list stand between commas. Errors tell what
  /// is wrong with the text, and what is expected; ranges are node_options::validate's.
  caf::error (*read)(process_options& target, std::string_view text);
  /// The inverse.
  std::string (*show)(const process_options& source);

  std::string_view group() const { return name.substr(0, name.find('.')); }
  std::string_view key() const { return name.substr(name.find('.') + 1); }
};

/// All of them, group by group.
std::span<const option> all_options();

/// nullptr: there is none of that name.
const option* find_option(std::string_view name);
const option* find_option(char short_form);

/// Bytes: a number, and `k`, `m` or `g` for 1024 and its powers.
caf::expected<uint64_t> parse_size(std::string_view text);
std::string show_size(uint64_t bytes);

/// A number and `ms`, `s`, `min` or `h`.
caf::expected<caf::timespan> parse_duration(std::string_view text);
std::string show_duration(caf::timespan x);

/// A decimal number up to `max`, digits only.
caf::expected<uint64_t> parse_number(std::string_view text, uint64_t max = UINT64_MAX);

} // namespace kai
