#include "apps/config.hpp"

#include <cerrno>
#include <cstring>
#include <fstream>
#include <sstream>

#include "apps/config_file.hpp"
#include "protocol/errc.hpp"
#include "protocol/limits.hpp"

namespace kai {

namespace {

caf::error wrong(const std::string& message) { return failure(errc::bad_configuration, message); }

std::string str(caf::string_view x) { return {x.begin(), x.end()}; }

/// An entry's value as CAF's command line would have it.
caf::expected<std::string> caf_text(const caf::config_option& option, const config_entry& entry) {
  using form = config_entry::form;
  auto type = str(option.type_name());
  if (entry.written != form::list) {
    if (type.starts_with("list"))
      return wrong("has to be a list, for example [\"a\", \"b\"]");
    if (type == "string" && entry.written != form::quoted)
      return wrong("has to be a string in quotes");
    if ((type == "uint64" || type == "boolean") && entry.written != form::bare)
      return wrong("has to be a " + type + " without quotes");
    return entry.values.front();
  }
  if (!type.starts_with("list"))
    return wrong("has to be a single value of type " + type);
  std::string result;
  for (auto x : entry.values) {
    if (type == "list of string")
      x = '"' + x + '"';
    result += (result.empty() ? "" : ",") + x;
  }
  return "[" + result + "]";
}

caf::expected<std::string> option_text(const option& option, const config_entry& entry) {
  using form = config_entry::form;
  if (entry.written == form::list) {
    if (option.form != value_form::list)
      return wrong("takes one value, not a list");
    std::string result;
    for (auto& x : entry.values)
      result += (result.empty() ? "" : ",") + x;
    return result;
  }
  if (option.form == value_form::number && entry.written != form::bare)
    return wrong("has to be a number without quotes");
  if ((option.form == value_form::text || option.form == value_form::list) &&
      entry.written != form::quoted)
    return wrong("has to be a string in quotes");
  return entry.values.front();
}

/// Sets one option and checks its range by itself, so that the place it stands is known. The rules
/// between options come at the end.
caf::error set_option(const option& option, std::string_view text, process_options& target) {
  process_options alone;
  alone.node.cluster.replicas = limits::replicas_max;
  alone.node.storage.engine = engine_kind::memory;
  if (auto err = option.read(alone, text))
    return wrong(std::string{option.name} + ": " + message_of(err));
  if (option.name == "cluster.replicas")
    alone.node.cluster.read_quorum = alone.node.cluster.write_quorum = 0;
  if (auto err = alone.node.validate())
    return err;
  return option.read(target, text);
}

class invocation_reader {
public:
  explicit invocation_reader(const program& self) : self_(self) {}

  caf::expected<invocation> read(const std::vector<std::string>& arguments) {
    // The command line wins: the file comes first, wherever it is named.
    for (auto& x : arguments)
      if (x.starts_with("--config-file="))
        file_ = x.substr(x.find('=') + 1);
      else if (auto text = printed(x))
        return print(std::move(*text));
    if (file_)
      if (auto err = read_file(*file_))
        return err;
    for (auto i = arguments.begin(); i != arguments.end();)
      if (auto err = read_argument(i, arguments.end()))
        return err;
    if (auto err = result_.options.node.validate())
      return with_origin(err);
    if (dump_)
      return print(show_config_file(result_.options));
    return std::move(result_);
  }

private:
  using iterator = std::vector<std::string>::const_iterator;

  static invocation print(std::string text) {
    invocation result;
    result.what = invocation::intent::print;
    result.text = std::move(text);
    return result;
  }

  std::optional<std::string> printed(const std::string& argument) const {
    if (argument == "--help" || argument == "-h" || argument == "-?")
      return usage();
    if (argument == "--long-help")
      return usage() + "\nOptions of the C++ Actor Framework:\n" + system_.caf_help();
    if (argument == "--version")
      return std::string{self_.name} + " " KAI_VERSION "\n";
    return std::nullopt;
  }

  std::string usage() const {
    std::ostringstream out;
    out << "Usage: " << self_.name << " " << self_.usage << "\n\n";
    if (self_.runs_many)
      out << "  --nodes=COUNT\n      nodes to run in this process (default: " << invocation{}.nodes
          << ")\n";
    for (auto& x : all_options()) {
      out << "  ";
      if (x.short_form)
        out << "-" << x.short_form << " " << x.value_name << ", ";
      out << "--" << x.name << "=" << x.value_name << "\n      " << x.help;
      if (auto text = x.show(process_options{}); !text.empty())
        out << " (default: " << text << ")";
      out << "\n";
    }
    out << "  --config-file=FILE\n      reads options from FILE; see conf/kai.conf\n"
           "  --dump-config\n      prints the options in effect as a configuration file\n"
           "  --help, --long-help, --version\n      this text, with CAF's options too, the "
           "version\n"
           "\nSizes take k, m, g; durations take ms, s, min, h.\n";
    return out.str();
  }

  caf::error with_origin(const caf::error& err) const {
    auto message = message_of(err);
    auto origin = result_.origins.find(message.substr(0, message.find(':')));
    return origin != result_.origins.end() ? wrong(origin->second + ": " + message) : err;
  }

  caf::error read_file(const std::string& path) {
    errno = 0;
    std::ifstream in{path, std::ios::binary};
    std::string text(limits::config_file_bytes_max + 1, '\0');
    if (!in || !in.read(text.data(), static_cast<std::streamsize>(text.size())).eof())
      return wrong(
          "config-file: cannot read " + path + ": " +
          (in ? "larger than " + show_size(limits::config_file_bytes_max) : std::strerror(errno)));
    text.resize(static_cast<size_t>(in.gcount()));
    auto entries = parse_config_file(text);
    if (!entries)
      return wrong(path + ":" + message_of(entries.error()));
    for (auto& x : *entries) {
      auto place = path + ":" + std::to_string(x.line);
      if (auto err = read_entry(x, place))
        return wrong(place + ": " + message_of(err));
    }
    return caf::none;
  }

  caf::error read_entry(const config_entry& entry, const std::string& place) {
    auto name = entry.group + "." + entry.key;
    auto named = [&](const caf::error& err) { return wrong(name + ": " + message_of(err)); };
    if (auto option = find_option(name)) {
      auto text = option_text(*option, entry);
      if (!text)
        return named(text.error());
      result_.origins[name] = place;
      return set_option(*option, *text, result_.options);
    }
    if (auto option = system_.find_caf_option(name)) {
      auto text = caf_text(*option, entry);
      return text ? set_caf(*option, *text) : named(text.error());
    }
    return wrong(name + ": there is no such option");
  }

  caf::error set_caf(const caf::config_option& option, const std::string& text) {
    auto name = str(option.full_name());
    auto value = parse_caf_value(option, text);
    if (!value)
      return wrong(name + ": " + message_of(value.error()));
    result_.caf.emplace_back(name, std::move(*value));
    return caf::none;
  }

  caf::error read_argument(iterator& i, iterator end) {
    auto& x = *i++;
    if (x == "--dump-config") {
      dump_ = true;
      return caf::none;
    }
    if (x.starts_with("--config-file="))
      return caf::none;
    if (x.starts_with("--") && x.size() > 2)
      return at_command_line(read_long(x.substr(2)));
    if (!x.starts_with('-') || x == "-" || x == "--")
      return wrong("command line: stray argument \"" + x + "\"");
    auto option = find_option(x[1]);
    if (!option)
      return wrong("command line: -" + x.substr(1, 1) + ": there is no such option");
    if (x.size() > 2)
      return at_command_line(set(*option, x.substr(2)));
    if (i == end)
      return wrong("command line: -" + x.substr(1) + " (" + std::string{option->name} +
                   "): the value is missing");
    return at_command_line(set(*option, *i++));
  }

  static caf::error at_command_line(const caf::error& err) {
    return err ? wrong("command line: " + message_of(err)) : caf::error{};
  }

  caf::error set(const option& option, std::string_view text) {
    result_.origins[std::string{option.name}] = "command line";
    return set_option(option, text, result_.options);
  }

  caf::error read_long(const std::string& text) {
    auto equals = text.find('=');
    auto name = text.substr(0, equals);
    auto option = find_option(name);
    auto foreign = option ? nullptr : system_.find_caf_option(name);
    auto nodes = self_.runs_many && name == "nodes";
    if (!option && !foreign && !nodes && name != "config-file")
      return wrong(name + ": there is no such option");
    if (equals == std::string::npos) {
      if (foreign && foreign->is_flag())
        return set_caf(*foreign, "true");
      return wrong(name + ": the value is missing: --" + name + "=VALUE");
    }
    auto value = text.substr(equals + 1);
    if (nodes)
      return set_nodes(value);
    return option ? set(*option, value) : set_caf(*foreign, value);
  }

  caf::error set_nodes(const std::string& text) {
    auto value = parse_number(text, limits::nodes_per_process_max);
    if (!value || *value == 0)
      return wrong("nodes: \"" + text + "\" is not a number from 1 to " +
                   std::to_string(limits::nodes_per_process_max));
    result_.nodes = *value;
    return caf::none;
  }

  const program& self_;
  system_config system_;
  std::optional<std::string> file_;
  bool dump_ = false;
  invocation result_;
};

std::string in_quotes(const std::string& text) {
  std::string result = "\"";
  for (auto c : text) {
    if (c == '"' || c == '\\')
      result += '\\';
    result += c == '\n' ? "\\n" : c == '\r' ? "\\r" : c == '\t' ? "\\t" : std::string{c};
  }
  return result + "\"";
}

} // namespace

caf::expected<invocation> read_invocation(const program& self,
                                          const std::vector<std::string>& arguments) {
  return invocation_reader{self}.read(arguments);
}

std::string show_config_file(const process_options& options) {
  std::ostringstream out;
  std::string_view group;
  for (auto& x : all_options()) {
    if (x.group() != group)
      out << (group.empty() ? "" : "\n") << "[" << x.group() << "]\n";
    group = x.group();
    auto bare = x.form == value_form::number || x.form == value_form::word;
    auto value = x.show(options);
    out << "; " << x.help << "\n" << x.key() << " = " << (bare ? value : in_quotes(value)) << "\n";
  }
  return out.str();
}

} // namespace kai
