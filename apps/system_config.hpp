#pragma once

#include <string>
#include <utility>
#include <vector>

#include <caf/actor_system_config.hpp>
#include <caf/expected.hpp>

namespace kai {

/// CAF's own options as given by the user, checked, to be applied to every actor system.
using caf_settings = std::vector<std::pair<std::string, caf::config_value>>;

/// Configures one actor system of ours. Each system needs one of its own, which outlives it.
class system_config : public caf::actor_system_config {
public:
  /// Kai's defaults for CAF, and `changes` on top.
  explicit system_config(const caf_settings& changes = {});

  /// nullptr: CAF has no such option. `name` is GROUP.KEY.
  const caf::config_option* find_caf_option(const std::string& name) const;

  /// CAF's options for the usage text: name, type and meaning, one per line.
  std::string caf_help() const;
};

/// Reads a value from its command line form; refuses what CAF would accept and then hang with.
caf::expected<caf::config_value> parse_caf_value(const caf::config_option& option,
                                                 const std::string& text);

} // namespace kai
