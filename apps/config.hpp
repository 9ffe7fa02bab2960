#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include <caf/expected.hpp>

#include "apps/options.hpp"
#include "apps/system_config.hpp"

/// The command line and the configuration file of the programs that run nodes. CAF reads neither:
/// it passes over unknown keys and wrong types, and knows no lines.
namespace kai {

/// A program's name and what it takes besides the options of a node.
struct program {
  std::string_view name;
  std::string_view usage;
  /// Takes --nodes (kai-cluster).
  bool runs_many = false;
};

/// What the user wants.
struct invocation {
  enum class intent : uint8_t { run, print } what = intent::run;
  /// The text to print on stdout, if that is all (--help and the like).
  std::string text;
  process_options options;
  caf_settings caf;
  size_t nodes = 5;
  /// Where each option that was given stands: "kai.conf:12" or "command line".
  std::map<std::string, std::string, std::less<>> origins;

  bool given(std::string_view name) const { return origins.find(name) != origins.end(); }
};

/// Reads the arguments (without the program's name) and the file they name, if any. Errors are
/// errc::bad_configuration and name the option, and the file and line where known.
caf::expected<invocation> read_invocation(const program& self,
                                          const std::vector<std::string>& arguments);

/// The configuration file that says what `options` says: every option with its meaning.
std::string show_config_file(const process_options& options);

} // namespace kai
