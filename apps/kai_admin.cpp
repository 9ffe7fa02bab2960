// kai-admin: sees and changes a cluster through the gateway of one of its nodes.

#include <chrono>
#include <cstdio>
#include <future>
#include <iostream>
#include <thread>

#include <unistd.h>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "actors/log.hpp"
#include "apps/admin_client.hpp"
#include "apps/admin_command.hpp"
#include "apps/admin_render.hpp"
#include "apps/backup.hpp"
#include "apps/process.hpp"
#include "protocol/errc.hpp"

namespace {

using namespace kai;
using clock_type = std::chrono::steady_clock;

int complain(const std::string& message, int status = exit_failed) {
  return kai::complain("kai-admin", message, status);
}

void show(const admin_request& asked, const nlohmann::json& document) {
  // A directory's name may be of any bytes.
  auto text = [&] {
    return document.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
  };
  std::cout << (asked.json ? text() : render(asked.command, document)) << std::flush;
}

caf::expected<nlohmann::json> ask(admin_client& client, const std::string& command,
                                  const std::vector<std::string>& arguments,
                                  clock_type::time_point deadline) {
  auto left = deadline - clock_type::now();
  if (left <= clock_type::duration::zero())
    return failure(errc::timed_out, "no answer in time");
  auto text = client.ask(command, arguments, left);
  if (!text)
    return text.error();
  auto document = nlohmann::json::parse(*text, nullptr, false);
  if (document.is_discarded())
    return failure(errc::malformed, "the node's answer is no JSON document");
  return document;
}

int run_once(const admin_request& asked, clock_type::time_point deadline) {
  admin_client client{asked.node};
  auto document = ask(client, asked.command, asked.arguments, deadline);
  if (!document)
    return complain(message_of(document.error()));
  show(asked, *document);
  if (asked.command != "status")
    return 0;
  auto problem = status_problem(*document);
  return problem.empty() ? 0 : complain(problem);
}

/// How long a node may take for one of many questions before another one is asked.
constexpr std::chrono::seconds answer_max{5};

/// Shows `text` in place of what it showed before, on a terminal only.
class progress_line {
public:
  ~progress_line() { show(""); }

  void show(const std::string& text) {
    if (!terminal_)
      return;
    std::cerr << '\r' << one_line(text).substr(0, 78) << "\x1b[K" << std::flush;
  }

private:
  bool terminal_ = isatty(STDERR_FILENO) == 1;
};

/// Whom to ask when the node that is asked is gone, as one that leaves is.
class other_members {
public:
  explicit other_members(host_port asked) : asked_(std::move(asked)) {}

  /// Takes note of the members that a status names.
  void learn(const nlohmann::json& status) {
    if (!status.is_object() || !status.contains("members"))
      return;
    known_.clear();
    for (auto& m : status["members"])
      if (auto address = parse_host_port(m.value("cluster", std::string{})))
        known_.push_back(std::move(*address));
  }

  /// Each in its turn.
  host_port next() { return known_.empty() ? asked_ : known_[next_++ % known_.size()]; }

private:
  host_port asked_;
  std::vector<host_port> known_;
  size_t next_ = 0;
};

/// Asks for the status, and shows progress, until that is as wanted, which is printed, or time is
/// over: then it complains.
template <class IsOver>
int await_status(const admin_request& asked, admin_client& client, other_members& others,
                 clock_type::time_point deadline, const std::string& complaint, IsOver is_over) {
  using namespace std::chrono_literals;
  progress_line progress;
  std::string last = "no answer in time";
  while (clock_type::now() < deadline) {
    auto status = ask(client, "status", {}, std::min(deadline, clock_type::now() + answer_max));
    if (status && is_over(*status)) {
      progress.show("");
      show(asked, *status);
      return 0;
    }
    if (status)
      others.learn(*status);
    else
      client.turn_to(others.next());
    last = status ? render_progress(*status) : message_of(status.error());
    progress.show(last);
    auto left = deadline - clock_type::now();
    std::this_thread::sleep_for(std::clamp<clock_type::duration>(left, 0ms, 250ms));
  }
  progress.show("");
  return complain(complaint + ": " + last);
}

int wait_settled(const admin_request& asked, clock_type::time_point deadline) {
  admin_client client{asked.node};
  other_members others{asked.node};
  // What was found equal before may be so no more.
  auto resync = [&] {
    auto soon = std::min(deadline, clock_type::now() + answer_max);
    return static_cast<bool>(ask(client, "resync", {}, soon));
  };
  auto fresh = resync();
  auto is_over = [&](const nlohmann::json& status) {
    if (fresh)
      return status.is_object() && status.value("settled", false);
    fresh = resync();
    return false;
  };
  return await_status(asked, client, others, deadline, "not settled", is_over);
}

/// The change goes by itself once it is decided: waits until the member is out, or (abort) until
/// nothing is under way.
int change_members(const admin_request& asked, clock_type::time_point deadline) {
  admin_client client{asked.node};
  auto arguments = asked.arguments;
  if (asked.force)
    arguments.push_back("--force");
  other_members others{asked.node};
  if (auto status = ask(client, "status", {}, deadline))
    others.learn(*status);
  auto begun = ask(client, asked.command, arguments, deadline);
  if (!begun)
    return complain(message_of(begun.error()));
  auto warning = begun->is_object() ? begun->value("warning", std::string{}) : std::string{};
  if (!warning.empty())
    complain("warning: " + warning);
  return await_status(asked, client, others, deadline,
                      "decided, and goes on by itself, but is not done yet",
                      [&](const nlohmann::json& status) {
                        return change_is_over(status, asked.command, arguments);
                      });
}

/// Goes on as long as it gets on.
int copy_cluster(const admin_request& asked) {
  cluster_client cluster{asked.node, asked.timeout};
  progress_line progress;
  auto show_progress = [&](size_t done, size_t all, const backup_summary& x) {
    progress.show(fmt::format("{} of {} partitions, {} keys", done, all, x.keys));
  };
  auto copy = asked.command == "backup" ? back_up : restore;
  auto sum = copy(cluster, asked.arguments[0], show_progress);
  progress.show("");
  if (!sum)
    return complain(message_of(sum.error()));
  show(asked, {{"directory", asked.arguments[0]},
               {"partitions", sum->partitions},
               {"keys", sum->keys},
               {"bytes", sum->bytes}});
  return 0;
}

/// Whether the node answers.
int reach(const admin_request& asked) {
  admin_client client{asked.node};
  auto status = ask(client, "status", {}, clock_type::now() + asked.timeout);
  return status ? 0 : complain(message_of(status.error()));
}

int run(const admin_request& asked) {
  auto deadline = clock_type::now() + asked.timeout;
  if (asked.command == "wait-settled")
    return wait_settled(asked, deadline);
  if (asked.command == "leave" || asked.command == "remove" || asked.command == "abort")
    return change_members(asked, deadline);
  return run_once(asked, deadline);
}

/// What nobody could read was no success.
int ended(int status) {
  return std::cout.flush() ? status : complain("the answer can not be written to standard output");
}

} // namespace

int main(int argc, char** argv) {
  auto asked = read_admin_arguments({argv + 1, argv + argc});
  if (!asked)
    return complain(message_of(asked.error()), exit_used_wrongly);
  if (!asked->text.empty()) {
    std::cout << asked->text;
    return ended(0);
  }
  // These take as long as they get on, once the node has answered.
  auto copies = asked->command == "backup" || asked->command == "restore";
  // CAF connects with a blocking system call, which a silent address may hold for minutes.
  auto outcome =
      std::async(std::launch::async, [&] { return copies ? reach(*asked) : run(*asked); });
  if (outcome.wait_for(asked->timeout + std::chrono::milliseconds{500}) ==
      std::future_status::timeout) {
    complain("cannot reach " + to_host_port(asked->node.host, asked->node.port) + " in time");
    std::cout.flush();
    _exit(exit_failed);
  }
  auto status = outcome.get();
  return ended(copies && status == 0 ? copy_cluster(*asked) : status);
}
