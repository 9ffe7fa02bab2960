#include "apps/admin_command.hpp"

#include <algorithm>

#include "apps/options.hpp"
#include "protocol/errc.hpp"
#include "protocol/limits.hpp"

namespace kai {

namespace {

constexpr auto usage = R"(Usage: kai-admin [--node=HOST:PORT] COMMAND [--json] [--timeout=30s]

  status          the members, what they hold, and whether the cluster is settled;
                  ends with 0 when it is and every member is up
  ring            the partitions, their replicas in order, and the moves under way
  locate KEY      the key's partition and replicas, and the version each of them holds
  wait-settled    waits until the cluster is settled
  plan CHANGE     what a change would move; changes nothing. CHANGE is one of
                  leave NAME, remove NAME, join HOST:PORT
  leave NAME      hands the data of a live member over, then lets it go
  remove NAME     takes a dead member out and rebuilds its replicas on others
  abort           takes back the changes of members that are under way
  backup DIR      copies all records of the cluster into a new directory here
  restore DIR     stores the records of a backup, in a cluster of any size; newer
                  ones that the cluster has stay

  --force             leave: also where fewer than W members stay. remove: also
                      where acknowledged writes may be on dead members only (of a
                      key's N replicas those that live and W come to N or fewer):
                      they are lost. Where most members are dead, remove --force
                      also decides alone: should they be alive after all, cut off
                      from here, what they have done meanwhile is lost

  --node=HOST:PORT    the cluster address of any member (default: 127.0.0.1:11011)
  --json              prints the JSON document instead of tables
  --timeout=DURATION  how long to try, and wait-settled, leave, remove and abort wait;
                      with backup and restore for one answer: 1ms to 24h
                      (default: 30s). A change goes on by itself all the same
  --help, --version   this text, the version

Ends with 0 (done), 1 (it failed) or 2 (used wrongly).
)";

struct command {
  std::string_view name;
  std::vector<std::string_view> arguments;
};

const std::vector<command>& commands() {
  static const std::vector<command> list{{"status", {}},       {"ring", {}},
                                         {"locate", {"KEY"}},  {"wait-settled", {}},
                                         {"leave", {"NAME"}},  {"plan", {"CHANGE", "NAME"}},
                                         {"remove", {"NAME"}}, {"abort", {}},
                                         {"backup", {"DIR"}},  {"restore", {"DIR"}}};
  return list;
}

caf::error wrong(const std::string& message) {
  return failure(errc::bad_configuration, message + "; see kai-admin --help");
}

caf::error read_node(admin_request& target, std::string_view text) {
  auto parsed = parse_host_port(text);
  if (!parsed)
    return wrong("--node: " + message_of(parsed.error()));
  if (parsed->port == 0)
    return wrong("--node: \"" + std::string{text} + "\" has port 0");
  target.node = std::move(*parsed);
  return caf::none;
}

caf::error read_timeout(admin_request& target, std::string_view text) {
  auto parsed = parse_duration(text);
  if (!parsed)
    return wrong("--timeout: " + message_of(parsed.error()));
  if (*parsed <= caf::timespan{0} || *parsed > limits::admin_timeout_max)
    return wrong("--timeout: out of range: 1ms to 24h");
  target.timeout = *parsed;
  return caf::none;
}

caf::error read_option(admin_request& target, const std::string& text) {
  if (text == "--help" || text == "-h" || text == "-?")
    target.text = usage;
  else if (text == "--version")
    target.text = "kai-admin " KAI_VERSION "\n";
  else if (text == "--json")
    target.json = true;
  else if (text == "--force")
    target.force = true;
  else if (text.starts_with("--node="))
    return read_node(target, text.substr(7));
  else if (text.starts_with("--timeout="))
    return read_timeout(target, text.substr(10));
  else if (text == "--node" || text == "--timeout")
    return wrong(text + ": its value is missing: " + text + "=VALUE");
  else
    return wrong(text.substr(0, text.find('=')) + ": there is no such option");
  return caf::none;
}

/// As much of it as is there.
caf::error check_change(const std::vector<std::string>& change) {
  if (change.empty())
    return caf::none;
  auto joins = change[0] == "join";
  if (!joins && change[0] != "leave" && change[0] != "remove")
    return wrong("plan: \"" + change[0] + "\" is not one of leave, remove, join");
  if (change.size() == 1)
    return wrong("plan " + change[0] + ": " + (joins ? "HOST:PORT" : "NAME") + " is missing");
  auto parsed = joins ? parse_host_port(change[1]) : host_port{};
  return parsed ? caf::error{} : wrong("plan join: " + message_of(parsed.error()));
}

caf::error check_command(const admin_request& x) {
  if (x.command.empty())
    return wrong("the command is missing");
  auto& list = commands();
  auto found = std::find_if(list.begin(), list.end(), [&](auto& c) { return c.name == x.command; });
  if (found == list.end())
    return wrong("\"" + x.command + "\" is no command");
  if (x.command == "plan")
    if (auto err = check_change(x.arguments))
      return err;
  if (x.arguments.size() < found->arguments.size())
    return wrong(x.command + ": " + std::string{found->arguments[x.arguments.size()]} +
                 " is missing");
  if (x.arguments.size() > found->arguments.size())
    return wrong(x.command + ": stray argument \"" + x.arguments[found->arguments.size()] + "\"");
  if (std::any_of(x.arguments.begin(), x.arguments.end(), [](auto& a) { return a.empty(); }))
    return wrong(x.command + ": an argument is empty");
  if (x.command == "locate" && x.arguments[0].size() > limits::key_bytes_max)
    return wrong("locate: a key has at most " + std::to_string(limits::key_bytes_max) + " bytes");
  if (x.force && x.command != "leave" && x.command != "remove")
    return wrong(x.command + ": takes no --force");
  return caf::none;
}

} // namespace

caf::expected<admin_request> read_admin_arguments(const std::vector<std::string>& arguments) {
  admin_request result;
  auto options = true;
  for (auto& x : arguments) {
    if (options && x == "--") {
      options = false;
    } else if (options && x.size() > 1 && x.front() == '-') {
      if (auto err = read_option(result, x))
        return err;
      if (!result.text.empty())
        return result;
    } else if (result.command.empty()) {
      result.command = x;
    } else {
      result.arguments.push_back(x);
    }
  }
  if (auto err = check_command(result))
    return err;
  return result;
}

} // namespace kai
