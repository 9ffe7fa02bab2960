// long: every command of kai-admin, each a question and the document it is answered with
#include "actors/admin.hpp"

#include <algorithm>
#include <charconv>
#include <ctime>
#include <memory>

#include <nlohmann/json.hpp>
#include <spdlog/fmt/chrono.h>

#include "actors/admin_changes.hpp"
#include "protocol/limits.hpp"
#include "protocol/topology_messages.hpp"

namespace kai {

namespace {

using pointer = admin_actor::stateful_pointer<admin_state>;
using json = nlohmann::ordered_json;
using text_promise = caf::typed_response_promise<std::string>;

std::string hex(uint64_t x) { return fmt::format("{:016x}", x); }

// --- this node -----------------------------------------------------------------------------------

std::chrono::microseconds wall_time(const admin_state& st) {
  return std::chrono::microseconds{st.context->wall_clock()};
}

bool is_leaving(const admin_state& st) {
  return st.view && st.view->topo.members[st.view->self].state == member_state::leaving;
}

void on_view(admin_state& st, const view_ptr& view) {
  st.view = view;
  if (!is_leaving(st))
    st.context->takes_hints = true;
  st.progress.see(view->topo, wall_time(st));
  auto& members = view->topo.members;
  std::erase_if(st.down_since, [&](auto& x) { return !view->topo.find(x.first); });
  for (size_t i = 0; i < members.size(); ++i)
    if (view->alive[i])
      st.down_since.erase(members[i].name);
    else
      st.down_since.try_emplace(members[i].name, st.context->wall_clock());
}

/// What this node's actors say.
struct own_reports {
  vnode_report held;
  sync_report synced;
  handoff_report handoff;
};

/// What this node says of itself.
json document_of(const admin_state& st, const own_reports& x) {
  auto& [held, synced, handoff] = x;
  json out;
  out["keys"] = held.keys;
  out["tombstones"] = held.tombstones;
  out["bytes"] = held.bytes;
  out["hints"] = held.hints.count();
  out["hints_exact"] = held.hints.exact;
  out["hints_for"] = json::object();
  for (auto& [name, x] : held.hints.held)
    out["hints_for"][name] = x.count;
  out["state"] = synced.recovering == 0 ? "up" : "recovering";
  out["replicas"] = synced.partitions;
  out["recovering"] = synced.recovering;
  out["unequal"] = json::object();
  for (auto& [name, count] : synced.unequal)
    out["unequal"][name] = count;
  out["arriving_epoch"] = synced.epoch;
  out["arriving"] = json::array();
  for (auto& [partition, changed_at] : synced.filled)
    out["arriving"].push_back({partition, 1});
  for (auto& [partition, share] : synced.filling)
    out["arriving"].push_back({partition, share});
  out["received_per_second"] = synced.received_per_second;
  out["dropping"] = handoff.partitions;
  out["epoch"] = st.context->epoch();
  out["down_since"] = st.down_since;
  return out;
}

/// Asks every vnode; one that does not answer counts as empty.
void gather(pointer self, std::function<void(const vnode_report&)> done) {
  auto& st = self->state;
  auto& vnodes = st.sources.vnodes;
  auto sum = std::make_shared<std::pair<size_t, vnode_report>>(vnodes.size(), vnode_report{});
  auto one = [sum, done = std::move(done)] {
    if (--sum->first == 0)
      done(sum->second);
  };
  for (auto& x : vnodes)
    self->request(x, limits::service_deadline, report_atom::value)
        .then(
            [sum, one](const vnode_report& x) {
              sum->second += x;
              one();
            },
            [sum, one](const caf::error&) {
              sum->second.hints.exact = false;
              one();
            });
}

/// Asks all three; one that does not answer counts as having nothing to say.
void gather_all(pointer self, std::function<void(const own_reports&)> done) {
  auto& sources = self->state.sources;
  auto all = std::make_shared<own_reports>();
  auto last = [self, all, done = std::move(done)] {
    gather(self, [all, done](const vnode_report& held) {
      all->held = held;
      done(*all);
    });
  };
  auto second = [self, all, last] {
    self->request(self->state.sources.handoff, limits::service_deadline, report_atom::value)
        .then(
            [all, last](const handoff_report& x) {
              all->handoff = x;
              last();
            },
            [last](const caf::error&) { last(); });
  };
  self->request(sources.sync, limits::service_deadline, report_atom::value)
      .then(
          [all, second](const sync_report& x) {
            all->synced = x;
            second();
          },
          [second](const caf::error&) { second(); });
}

caf::result<std::string> report(pointer self) {
  auto promise = self->make_response_promise<std::string>();
  gather_all(self, [self, promise](const own_reports& x) mutable {
    promise.deliver(document_of(self->state, x).dump());
  });
  return promise;
}

/// For whoever sees that partitions on their way arrive.
caf::result<std::string> filled(pointer self) {
  auto promise = self->make_response_promise<std::string>();
  auto& context = *self->state.context;
  // One that leaves is removed once it has no hints: it takes none while it is asked, nor after.
  auto leaves = is_leaving(self->state);
  if (leaves)
    context.takes_hints = false;
  gather_all(self, [self, promise, leaves](const own_reports& x) mutable {
    fill_report report;
    // Those that are not counted yet are some.
    report.hints = std::max<uint64_t>(x.held.hints.count(), x.held.hints.exact ? 0 : 1);
    auto& takes_hints = self->state.context->takes_hints;
    if (report.hints > 0)
      takes_hints = true;
    else if (leaves && takes_hints)
      report.hints = 1; // Another question, or another view, has come between.
    report.filled = x.synced.filled;
    if (auto& view = self->state.view) {
      report.epoch = view->topo.epoch;
      for (size_t i = 0; i < view->alive.size(); ++i)
        if (view->alive[i])
          report.sees.push_back(static_cast<member_index>(i));
    }
    promise.deliver(encode_text(report));
  });
  return promise;
}

/// How many hints this node holds for the member of that name; "unknown" while it counts still, or
/// takes the member for down and may keep more at any moment.
caf::result<std::string> hints_for(pointer self, const std::string& name) {
  auto& view = self->state.view;
  auto who = view ? view->topo.find(name) : nullptr;
  if (who && !view->alive[static_cast<size_t>(who - view->topo.members.data())])
    return std::string{"unknown"};
  auto promise = self->make_response_promise<std::string>();
  gather(self, [promise, name](const vnode_report& held) mutable {
    auto found = held.hints.held.find(name);
    auto count = found == held.hints.held.end() ? 0 : found->second.count;
    promise.deliver(held.hints.exact ? std::to_string(count) : std::string{"unknown"});
  });
  return promise;
}

/// The epoch by which this node holds nothing but what is its own; "0" while it has to drop some.
caf::result<std::string> dropped_until(pointer self) {
  auto promise = self->make_response_promise<std::string>();
  self->request(self->state.sources.handoff, limits::service_deadline, report_atom::value)
      .then(
          [promise](const handoff_report& x) mutable {
            promise.deliver(std::to_string(x.partitions == 0 ? x.epoch : 0));
          },
          [promise](caf::error& err) mutable { promise.deliver(std::move(err)); });
  return promise;
}

/// Whether the member of that name answers this node: "yes" or "no".
caf::result<std::string> reach(pointer self, const std::string& name) {
  auto& view = self->state.view;
  auto found = view ? view->topo.find(name) : nullptr;
  if (!found)
    return std::string{"no"};
  call ping;
  ping.what = service_call{"ping", {}};
  auto who = static_cast<member_index>(found - view->topo.members.data());
  auto promise = self->make_response_promise<std::string>();
  self->state.surveys.ask(
      self, view.get(), {{who, std::move(ping)}},
      [promise](size_t, answer& x) mutable {
        promise.deliver(std::string{std::holds_alternative<text_answer>(x.what) ? "yes" : "no"});
      },
      [] {});
  return promise;
}

// --- the cluster ---------------------------------------------------------------------------------

struct status_survey {
  view_ptr view;
  /// As of this view and time.
  change_progress progress;
  std::chrono::microseconds time{0};
  std::vector<json> reports;
};

/// What the member at `index` says is still to be compared with others that are up. The other may
/// say the same: once is enough.
void say_unequal(const status_survey& x, size_t index, json& waiting) {
  auto& topo = x.view->topo;
  auto& own = topo.members[index].name;
  for (auto& [name, count] : x.reports[index]["unequal"].items()) {
    auto other = topo.find(name);
    if (!other || x.reports[static_cast<size_t>(other - topo.members.data())].is_null())
      continue;
    auto& theirs = x.reports[static_cast<size_t>(other - topo.members.data())]["unequal"];
    if (own < name || !theirs.contains(own))
      waiting.push_back(own + " and " + name + " have " + count.dump() +
                        " partitions still to compare");
  }
}

/// Whom the member at `index` does not reach, though they answer.
void say_unreached(const status_survey& x, size_t index, json& waiting) {
  auto& members = x.view->topo.members;
  for (size_t i = 0; i < members.size(); ++i)
    if (!x.reports[i].is_null() && x.reports[index]["down_since"].contains(members[i].name))
      waiting.push_back(members[index].name + " does not reach " + members[i].name);
}

/// What the member is doing, by the topology and by what it says (null: nothing).
std::string state_of(const member& x, const json& report) {
  if (report.is_null())
    return "down";
  if (x.state == member_state::joining || x.state == member_state::arriving)
    return "joining";
  return stays(x.state) ? report["state"].get<std::string>() : "leaving";
}

/// As the member that noticed first says: "2026-11-25T20:18:03Z"; null: nobody has noticed yet.
json down_since(const status_survey& x, const std::string& name) {
  timestamp first = UINT64_MAX;
  for (auto& report : x.reports)
    if (!report.is_null() && report["down_since"].contains(name))
      first = std::min(first, report["down_since"][name].get<timestamp>());
  if (first == UINT64_MAX)
    return nullptr;
  return fmt::format("{:%FT%TZ}", fmt::gmtime(static_cast<std::time_t>(first / 1'000'000)));
}

std::vector<arrivals> arrivals_of(const status_survey& x) {
  std::vector<arrivals> result;
  for (auto& report : x.reports)
    result.push_back(arrivals_in(report));
  return result;
}

json status_document(const status_survey& x) {
  auto& topo = x.view->topo;
  std::vector<size_t> held(topo.members.size());
  for (auto& list : topo.replicas)
    for (auto i : list)
      ++held[i];
  json waiting = json::array();
  if (auto change = change_under_way(topo); !change.empty())
    waiting.push_back(change);
  json members = json::array();
  for (size_t i = 0; i < topo.members.size(); ++i) {
    auto& m = topo.members[i];
    auto& report = x.reports[i];
    auto up = !report.is_null();
    auto since = up ? json{} : down_since(x, m.name);
    if (!up)
      waiting.push_back(m.name + " is down" +
                        (since.is_null() ? "" : " since " + since.get<std::string>()));
    else if (report["state"] != "up")
      waiting.push_back(m.name + " is recovering: " + report["recovering"].dump() + " of " +
                        report["replicas"].dump() + " partitions to go");
    else if (report["epoch"] != topo.epoch)
      waiting.push_back(m.name + " has topology " + report["epoch"].dump() + " of " +
                        std::to_string(topo.epoch));
    if (up) {
      say_unreached(x, i, waiting);
      say_unequal(x, i, waiting);
    }
    if (up && !report.value("hints_exact", true))
      waiting.push_back(m.name + " still counts the hints it holds");
    if (up && report["dropping"] != 0)
      waiting.push_back(m.name + " has " + report["dropping"].dump() + " partitions still to drop");
    if (up)
      for (auto& [name, count] : report["hints_for"].items())
        waiting.push_back(m.name + " holds " + count.dump() + " hints for " + name);
    members.push_back({{"name", m.name},
                       {"zone", m.zone},
                       {"state", state_of(m, report)},
                       {"down_since", std::move(since)},
                       {"memcache", m.memcache_address},
                       {"cluster", m.cluster_address},
                       {"partitions", held[i]},
                       {"keys", up ? report["keys"] : json(0)},
                       {"bytes", up ? report["bytes"] : json(0)},
                       {"hints", up ? report["hints"] : json(0)}});
  }
  return {{"epoch", topo.epoch},
          {"settled", waiting.empty()},
          {"waiting_for", std::move(waiting)},
          {"moves", topo.moves.size()},
          {"progress", progress_document(topo, arrivals_of(x), x.progress, x.time)},
          {"warning", copies_warning(topo)},
          {"members", std::move(members)}};
}

/// Asks every member for its report; a member that does not answer is down.
void survey_members(pointer self, std::function<void(const status_survey&)> done) {
  auto& st = self->state;
  auto x = std::make_shared<status_survey>();
  x->view = st.view;
  x->progress = st.progress;
  x->time = wall_time(st);
  x->reports.resize(st.view->topo.members.size());
  std::vector<std::pair<member_index, call>> calls;
  for (size_t i = 0; i < x->reports.size(); ++i) {
    calls.emplace_back(static_cast<member_index>(i), call{});
    calls.back().second.what = service_call{"admin", "report"};
  }
  st.surveys.ask(
      self, st.view.get(), std::move(calls),
      [x](size_t from, answer& a) {
        if (auto text = std::get_if<text_answer>(&a.what))
          x->reports[from] = json::parse(text->text, nullptr, false);
        if (!x->reports[from].is_object())
          x->reports[from] = nullptr;
      },
      [x, done = std::move(done)] { done(*x); });
}

caf::result<std::string> status(pointer self) {
  auto promise = self->make_response_promise<std::string>();
  survey_members(self, [promise](const status_survey& x) mutable {
    promise.deliver(status_document(x).dump());
  });
  return promise;
}

/// Has every member compare its replicas anew: a status that is settled after this was not so by
/// what was known before. Answers when all live members know, with how many they are.
caf::result<std::string> resync(pointer self) {
  auto& st = self->state;
  auto promise = self->make_response_promise<std::string>();
  std::vector<std::pair<member_index, call>> calls;
  for (size_t i = 0; i < st.view->topo.members.size(); ++i) {
    calls.emplace_back(static_cast<member_index>(i), call{});
    calls.back().second.what = service_call{"admin", "resync"};
  }
  auto reached = std::make_shared<size_t>(0);
  st.surveys.ask(
      self, st.view.get(), std::move(calls),
      [reached](size_t, answer& x) { *reached += std::holds_alternative<text_answer>(x.what); },
      [promise, reached]() mutable {
        promise.deliver(json{{"members", *reached}}.dump());
      });
  return promise;
}

/// `stats cluster`: the same as lines of the memcache protocol.
caf::result<std::string> stats_cluster(pointer self) {
  auto promise = self->make_response_promise<std::string>();
  survey_members(self, [promise](const status_survey& x) mutable {
    auto document = status_document(x);
    std::string out;
    auto add = [&](const std::string& name, const std::string& value) {
      out += "STAT " + name + ' ' + value + "\r\n";
    };
    add("epoch", document["epoch"].dump());
    add("settled", document["settled"] ? "yes" : "no");
    for (auto& m : document["members"]) {
      auto prefix = m["name"].get<std::string>() + ':';
      for (auto key : {"state", "zone", "memcache", "cluster"})
        add(prefix + key, m[key].get<std::string>());
      for (auto key : {"partitions", "keys", "bytes", "hints"})
        add(prefix + key, m[key].dump());
    }
    promise.deliver(out + "END\r\n");
  });
  return promise;
}

json ring_document(const topology& topo, const std::vector<arrivals>& reports) {
  json partitions = json::array();
  for (size_t i = 0; i < topo.replicas.size(); ++i) {
    json replicas = json::array();
    for (auto x : topo.replicas[i])
      replicas.push_back(topo.members[x].name);
    partitions.push_back({{"partition", i}, {"replicas", std::move(replicas)}});
  }
  return {{"epoch", topo.epoch},
          {"partitions", std::move(partitions)},
          {"moves", moves_document(topo, reports)},
          {"warning", copies_warning(topo)}};
}

caf::result<std::string> ring(pointer self) {
  auto& topo = self->state.view->topo;
  if (topo.moves.empty())
    return ring_document(topo, {}).dump();
  auto promise = self->make_response_promise<std::string>();
  survey_members(self, [promise](const status_survey& x) mutable {
    promise.deliver(ring_document(x.view->topo, arrivals_of(x)).dump());
  });
  return promise;
}

std::string price_of_force(const std::string& name, bool without_vote) {
  auto result = name + " is given up, with every acknowledged write that only dead members have";
  if (without_vote)
    result +=
        "; most members are dead, so this node decided alone: should they be alive after all, "
        "cut off from here, what they have done meanwhile is lost";
  return result;
}

/// Has the change voted on; what follows goes by itself.
caf::result<std::string> change(pointer self, const std::string& command,
                                const std::vector<std::string>& arguments) {
  using kind = change_order::kind;
  change_order order;
  order.what = command == "leave" ? kind::leave : command == "remove" ? kind::remove : kind::undo;
  if (order.what != kind::undo)
    order.name = arguments[0];
  order.forced = !arguments.empty() && arguments.back() == "--force";
  auto by_force = order.forced && order.what == kind::remove ? order.name : std::string{};
  auto before = self->state.view->topo.epoch;
  auto promise = self->make_response_promise<std::string>();
  self->request(self->state.sources.topology, limits::join_deadline, std::move(order))
      .then(
          [promise, by_force, before](uint64_t epoch) mutable {
            json out{{"epoch", epoch}};
            if (!by_force.empty())
              out["warning"] = price_of_force(by_force, epoch - before >= limits::imposed_epochs);
            promise.deliver(out.dump());
          },
          [promise](caf::error& err) mutable { promise.deliver(std::move(err)); });
  return promise;
}

caf::result<std::string> plan(pointer self, const std::vector<std::string>& wanted) {
  auto view = self->state.view;
  auto next = changed_by(view->topo, wanted, view->alive);
  if (!next)
    return next.error();
  auto promise = self->make_response_promise<std::string>();
  survey_members(self, [promise, view, next = *next](const status_survey& x) mutable {
    holdings held;
    for (auto& report : x.reports)
      if (!report.is_null()) {
        held.replicas += report["replicas"].get<uint64_t>();
        held.keys += report["keys"].get<uint64_t>();
        held.bytes += report["bytes"].get<uint64_t>();
      }
    promise.deliver(plan_document(view->topo, next, held).dump());
  });
  return promise;
}

caf::result<std::string> locate(pointer self, const std::string& key) {
  if (key.empty() || key.size() > limits::key_bytes_max)
    return failure(errc::refused, "locate: a key has 1 to 250 bytes");
  auto& st = self->state;
  auto view = st.view;
  auto partition = partition_of(key_hash(key), view->topo.settings.partitions);
  auto places = view->replica_places(partition);
  auto found = std::make_shared<std::map<member_index, json>>();
  std::vector<std::pair<member_index, call>> calls;
  for (auto x : places) {
    call c;
    c.partition = partition;
    c.key = blob::copy_of(key);
    c.what = read_call{};
    c.changed_at = view->topo.changed_at[partition];
    calls.emplace_back(x, std::move(c));
  }
  auto promise = self->make_response_promise<std::string>();
  auto each = [view, found, key, partition](size_t position, answer& a) {
    auto from = view->replica_places(partition)[position];
    json out{{"name", view->topo.members[from].name},
             {"state", "down"},
             {"version", nullptr},
             {"bytes", 0},
             {"deleted", false}};
    if (auto x = std::get_if<record_answer>(&a.what)) {
      out["state"] = x->caught_up ? "up" : "recovering";
      if (auto winner = latest(x->value)) {
        out["version"] = hex(digest_of(key, x->value));
        out["bytes"] = winner->value.size();
        out["deleted"] = winner->tombstone;
      }
    } else if (view->alive[from]) {
      out["state"] = "up";
    }
    (*found)[from] = std::move(out);
  };
  auto all = [promise, found, view, partition, key]() mutable {
    json replicas = json::array();
    for (auto x : view->replica_places(partition))
      replicas.push_back((*found)[x]);
    json out{{"key", key}, {"partition", partition}, {"replicas", std::move(replicas)}};
    // A key may hold bytes that are no UTF-8: they are shown replaced.
    promise.deliver(out.dump(-1, ' ', false, json::error_handler_t::replace));
  };
  st.surveys.ask(self, view.get(), std::move(calls), each, all);
  return promise;
}

/// For how many microseconds of the time since then this node was in use, which also one says that
/// is no member again yet.
caf::result<std::string> used_since(const admin_state& st, const std::string& text) {
  timestamp then = 0;
  auto [end, err] = std::from_chars(text.data(), text.data() + text.size(), then);
  if (err != std::errc{} || end != text.data() + text.size())
    return failure(errc::malformed, "used-since: no time: " + text);
  auto& context = *st.context;
  auto used = context.used_until - std::min(then, context.used_until);
  if (st.view)
    used += context.wall_clock() - std::min(std::max(then, context.started), context.wall_clock());
  return std::to_string(used);
}

caf::result<std::string> on_command(pointer self, const std::string& command,
                                    const std::vector<std::string>& arguments) {
  auto& st = self->state;
  if (command == "used-since" && arguments.size() == 1)
    return used_since(st, arguments[0]);
  if (!st.view)
    return failure(errc::not_a_member,
                   st.context->name + " is not a member of a cluster yet: it is still joining");
  if (command == "status")
    return status(self);
  if (command == "resync")
    return resync(self);
  if (command == "stats")
    return stats_cluster(self);
  if (command == "ring")
    return ring(self);
  if (command == "locate" && arguments.size() == 1)
    return locate(self, arguments[0]);
  auto names_one = arguments.size() == 1 || (arguments.size() == 2 && arguments[1] == "--force");
  if (((command == "leave" || command == "remove") && names_one) ||
      (command == "abort" && arguments.empty()))
    return change(self, command, arguments);
  auto is_change = arguments.size() == 2 &&
                   (arguments[0] == "leave" || arguments[0] == "remove" || arguments[0] == "join");
  if (command == "plan" && is_change)
    return plan(self, arguments);
  return failure(errc::refused, st.context->name + " does not know the command " + command +
                                    " with these " + std::to_string(arguments.size()) +
                                    " arguments");
}

} // namespace

admin_actor::behavior_type admin(pointer self, context_ptr context, admin_sources sources) {
  self->state.context = std::move(context);
  self->state.sources = std::move(sources);
  return {
      [self](admin_atom, const std::string& command, const std::vector<std::string>& arguments) {
        return on_command(self, command, arguments);
      },
      [self](service_atom, const std::string& request) -> caf::result<std::string> {
        if (request == "report")
          return report(self);
        if (request == "filled")
          return filled(self);
        if (request == "dropped")
          return dropped_until(self);
        if (request == "resync") {
          self->send(self->state.sources.sync, resync_atom::value);
          return std::string{};
        }
        if (request.rfind("hints ", 0) == 0)
          return hints_for(self, request.substr(6));
        if (request.rfind("reach ", 0) == 0)
          return reach(self, request.substr(6));
        return failure(errc::incompatible, "this version does not know the question " + request);
      },
      [self](const view_ptr& view) { on_view(self->state, view); },
      [self](answer_list& xs) { self->state.surveys.on_answers(xs); },
  };
}

} // namespace kai
