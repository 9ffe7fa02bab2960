#include "apps/system_config.hpp"

#include <sstream>

#include <caf/atom.hpp>
#include <caf/io/middleman.hpp>

#include "actors/node_core.hpp"
#include "actors/socket_loop.hpp"
#include "protocol/errc.hpp"

namespace kai {

namespace {

caf::error wrong(const std::string& message) { return failure(errc::bad_configuration, message); }

std::string str(caf::string_view x) { return {x.begin(), x.end()}; }

/// Values that CAF would accept and then end or hang with.
caf::error check_caf_value(const std::string& name, const caf::config_value& value) {
  auto number = caf::get_if<int64_t>(&value);
  auto at_least_one = name == "scheduler.max-threads" || name == "scheduler.max-throughput" ||
                      name == "middleman.max-consecutive-reads";
  if (at_least_one && number && *number < 1)
    return wrong("has to be at least 1");
  if ((name == "scheduler.max-threads" || name == "middleman.workers") && number && *number > 1024)
    return wrong("is out of range: up to 1024");
  auto word = caf::get_if<caf::atom_value>(&value);
  if (name == "scheduler.policy" && word && *word != caf::atom("sharing") &&
      *word != caf::atom("stealing"))
    return wrong("is not one of sharing, stealing");
  if (name == "middleman.network-backend" && word && *word != caf::atom("default"))
    return wrong("is not \"default\", the only one there is");
  if (name == "middleman.manual-multiplexing" && caf::get_if<bool>(&value) && caf::get<bool>(value))
    return wrong("is for tests only");
  return caf::none;
}

} // namespace

system_config::system_config(const caf_settings& changes) {
  load<caf::io::middleman, socket_loop>();
  add_messages(*this);
  add_error_category(caf::atom("kai"), [](uint8_t code, caf::atom_value, const caf::message& text) {
    return text.match_elements<std::string>() ? text.get_as<std::string>(0)
                                              : to_string(static_cast<errc>(code));
  });
  // Stealing workers sleep up to 10 ms before they look again; a flooded actor must not keep one.
  set("scheduler.policy", caf::atom("sharing"));
  set("scheduler.max-threads", uint64_t{2});
  set("scheduler.max-throughput", uint64_t{50});
  // Messages are read on the I/O loop, where the actors they are for run.
  set("middleman.workers", uint64_t{0});
  // A client is stopped between the turns of the loop only: what it may send beyond its limits
  // until then is so many reads.
  set("middleman.max-consecutive-reads", uint64_t{4});
  // Without heartbeats a silent node is never noticed.
  set("middleman.heartbeat-interval", caf::timespan{std::chrono::milliseconds{200}});
  set("middleman.connection-timeout", caf::timespan{std::chrono::seconds{1}});
  set("middleman.app-identifiers", std::vector<std::string>{"kai.v1"});
  // It would listen on a port of its own on all interfaces.
  set("middleman.enable-automatic-connections", false);
  for (auto& [name, value] : changes)
    set(name, value);
}

const caf::config_option* system_config::find_caf_option(const std::string& name) const {
  if (name.starts_with("global."))
    return nullptr;
  return custom_options_.qualified_name_lookup(name);
}

std::string system_config::caf_help() const {
  std::ostringstream out;
  for (auto& x : custom_options_)
    if (str(x.category()) != "global")
      out << "  --" << str(x.full_name()) << "=" << str(x.type_name()) << "\n      "
          << str(x.description()) << "\n";
  return out.str();
}

caf::expected<caf::config_value> parse_caf_value(const caf::config_option& option,
                                                 const std::string& text) {
  auto value = option.parse(text);
  if (!value)
    return wrong("\"" + text + "\" is not a value of type " + str(option.type_name()));
  if (auto err = check_caf_value(str(option.full_name()), *value))
    return wrong("\"" + text + "\" " + message_of(err));
  return value;
}

} // namespace kai
