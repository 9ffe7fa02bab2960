#include "test/sim/workload.hpp"

#include <algorithm>

#include <caf/send.hpp>
#include <caf/typed_event_based_actor.hpp>

#include "protocol/limits.hpp"

namespace kai::test {

namespace {

/// A moment long past: what is stored with it is gone at once.
constexpr timestamp expired = 1;

/// An own key is deleted so long after it was set, which is longer than the clocks of two sides of
/// a cluster differ that do not hear of each other (limits::clock_lead_max).
constexpr std::chrono::milliseconds own_key_rest{1200};

} // namespace

workload::workload(sim_cluster& cluster, workload_options options)
    : cluster_(cluster), options_(std::move(options)), random_(cluster.random()()),
      shared_keys_(options_.keys), avoided_(cluster.size()) {
  for (size_t i = 0; i < options_.keys; ++i)
    keys_.push_back(options_.prefix + std::to_string(i));
  clients_.resize(options_.clients);
  for (size_t i = 0; i < clients_.size(); ++i) {
    clients_[i].handle = cluster_.system().spawn(behavior, this, i);
    clients_[i].node = random_node();
  }
}

workload::~workload() {
  for (auto& x : clients_)
    caf::anon_send_exit(x.handle, caf::exit_reason::user_shutdown);
  cluster_.run_idle();
}

workload::actor_type::behavior_type workload::behavior(actor_type::pointer self, workload* owner,
                                                       size_t index) {
  return {
      [=](response_list& xs) { owner->on_responses(index, xs, self); },
      [=](tick_atom) { owner->act(index, self); },
      [=](flush_all_atom) { owner->start_flush(self); },
  };
}

void workload::begin(size_t operations) {
  for (auto& x : clients_) {
    x.left = operations;
    caf::anon_send(x.handle, tick_atom::value);
  }
}

bool workload::finish(const std::function<void()>& meanwhile) {
  auto done = [&] {
    if (meanwhile)
      meanwhile();
    return idle();
  };
  return cluster_.run_until(done, std::chrono::seconds{60});
}

bool workload::run(size_t operations) {
  begin(operations);
  auto half_done = [&] {
    return std::all_of(clients_.begin(), clients_.end(),
                       [&](auto& x) { return x.left <= operations / 2; });
  };
  if (options_.flush_under_load &&
      !(cluster_.run_until(half_done, std::chrono::seconds{60}) && flush()))
    return false;
  return finish();
}

void workload::lose_node(size_t node) {
  for (auto& x : clients_)
    if (x.node == node && !x.open.empty()) {
      for (auto& [tag, where] : x.open)
        lost_.insert(tag);
      x.open.clear();
      caf::anon_send(x.handle, tick_atom::value);
    }
}

bool workload::idle() const {
  return std::all_of(clients_.begin(), clients_.end(),
                     [](auto& x) { return x.left == 0 && x.open.empty(); });
}

size_t workload::random_node() {
  std::vector<size_t> choice;
  for (auto avoid : {true, false})
    for (size_t i = 0; i < cluster_.size() && (avoid || choice.empty()); ++i)
      if (cluster_.serves(i) && !(avoid && avoided_[i]))
        choice.push_back(i);
  return choice[random(choice.size())];
}

/// A set of a key that nobody else writes, or the delete of one that this client has set.
void workload::ask_own_key(size_t index, request_list& out) {
  auto& who = clients_[index];
  mutation x;
  if (!who.own.empty() && random(2) == 0 &&
      who.own.front().second + own_key_rest < cluster_.elapsed()) {
    auto key = who.own.front().first;
    who.own.erase(who.own.begin());
    x.kind = mutation_kind::remove;
    return ask(index, who.node, key, x, out);
  }
  auto key = options_.prefix + "own" + std::to_string(keys_.size());
  keys_.push_back(key);
  x.value = blob::copy_of(random_value());
  ask(index, who.node, key, x, out);
}

std::string workload::random_value() {
  auto n = next_value_++;
  return random(2) ? std::to_string(n % 20) : "v" + std::to_string(n);
}

std::optional<mutation> workload::random_change(const client& who, const std::string& key) {
  using enum mutation_kind;
  if (random(3) == 0)
    return std::nullopt;
  constexpr mutation_kind kinds[] = {set,
                                     set,
                                     add,
                                     add,
                                     replace,
                                     append,
                                     prepend,
                                     compare_and_set,
                                     compare_and_set,
                                     increment,
                                     increment,
                                     decrement,
                                     touch,
                                     get_and_touch,
                                     remove};
  mutation x;
  x.kind = kinds[random(std::size(kinds))];
  auto token = who.tokens.find(key);
  auto has_token = token != who.tokens.end();
  switch (x.kind) {
  case increment:
  case decrement: x.delta = 1 + random(5); break;
  case touch:
  case get_and_touch: break;
  case remove: break;
  default: x.value = blob::copy_of(random_value());
  }
  if (x.kind == set || x.kind == add || x.kind == replace || x.kind == compare_and_set)
    x.flags = static_cast<uint32_t>(random(3));
  auto may_expire = x.kind == set || x.kind == touch || x.kind == get_and_touch;
  if (may_expire && random(8) == 0)
    x.expires = expired;
  if (x.kind == compare_and_set)
    x.compare = has_token ? token->second : 12345;
  else if (x.kind != set && x.kind != add && has_token && random(10) == 0)
    x.compare = token->second;
  return x;
}

void workload::ask(size_t index, size_t node, const std::string& key,
                   std::optional<mutation> change, request_list& out) {
  auto& who = clients_[index];
  auto& history = histories_[key];
  auto& x = history.emplace_back();
  x.client = static_cast<uint32_t>(index);
  x.node = static_cast<uint32_t>(node);
  x.what = change ? operation::kind::write : operation::kind::read;
  if (change)
    x.change = *change;
  x.sent = ++now_;
  auto tag = next_tag_++;
  who.open[tag] = {key, history.size() - 1, cluster_.elapsed()};
  out.requests.push_back({tag, blob::copy_of(key), std::move(change)});
}

void workload::act(size_t index, actor_type::pointer self) {
  auto& who = clients_[index];
  if (who.left == 0)
    return;
  if (who.open.empty() && (random(4) == 0 || !cluster_.serves(who.node) || avoided_[who.node]))
    who.node = random_node();
  if (!cluster_.serves(who.node))
    return;
  request_list list;
  auto most = 1 + random(options_.pipeline);
  while (who.left > 0 && who.open.size() < most) {
    if (options_.own_key_one_in != 0 && random(options_.own_key_one_in) == 0) {
      --who.left;
      ask_own_key(index, list);
      continue;
    }
    auto& key = keys_[random(shared_keys_)];
    auto busy =
        std::any_of(who.open.begin(), who.open.end(), [&](auto& x) { return x.second.key == key; });
    if (busy)
      break;
    --who.left;
    ask(index, who.node, key, random_change(who, key), list);
  }
  if (!list.requests.empty())
    self->send(cluster_.node(who.node).loop->take_coordinator(), std::move(list));
}

void workload::on_responses(size_t index, response_list& xs, actor_type::pointer self) {
  auto& who = clients_[index];
  for (auto& x : xs.responses) {
    auto i = who.open.find(x.tag);
    if (i == who.open.end() && lost_.count(x.tag))
      continue;
    if (i == who.open.end()) {
      // An answer given twice: the promise of one answer is broken.
      ++stray_answers_;
      continue;
    }
    auto& [key, position, sent] = i->second;
    auto& operation = histories_[key][position];
    note_answer(who, operation, key, x);
    auto now = cluster_.elapsed();
    if (now - sent > slowest_) {
      slowest_ = now - sent;
      slowest_operation_ = key + to_string(operation) + ", after " +
                           std::to_string(slowest_.count() / 1'000'000) + " ms, at " +
                           std::to_string(now.count() / 1'000'000) + " ms";
    }
    who.open.erase(i);
  }
  auto pause = random(static_cast<uint64_t>(options_.pause_max.count()) + 1);
  if (random(3) == 0)
    act(index, self);
  else
    self->delayed_send(self, caf::timespan{static_cast<int64_t>(pause)}, tick_atom::value);
}

/// As a connection turns responses into text.
void workload::note_answer(client& who, operation& x, const std::string& key, response& answer) {
  x.answered = ++now_;
  x.end = operation::ending::answered;
  if (auto why = std::get_if<failed_answer>(&answer.what)) {
    x.reason = why->reason;
    x.failure = "SERVER_ERROR " + to_string(why->reason) + " " + why->message +
                (why->unchanged ? "; nothing was changed" : "; it may have happened");
    x.end = why->unchanged || x.what == operation::kind::read ? operation::ending::refused
                                                              : operation::ending::unknown;
    if (x.end == operation::ending::unknown)
      x.answered = operation::never;
  } else if (auto found = std::get_if<record>(&answer.what)) {
    auto& context = *cluster_.node(x.node).context;
    auto winner = latest(*found);
    if (winner && visible(*winner, context.wall_clock(), context.flushed()))
      x.seen = sighting{winner->value.str(), winner->flags, cas_unique(*found)};
    if (x.seen)
      who.tokens[key] = x.seen->cas;
  } else {
    x.result = std::get<outcome>(std::move(answer.what));
    if (x.change.kind == mutation_kind::set && key.find("own") != std::string::npos)
      who.own.emplace_back(key, cluster_.elapsed());
    if (x.result.cas != 0 && random(2) == 0)
      who.tokens[key] = x.result.cas;
  }
  if (options_.on_answer)
    options_.on_answer(key, x);
  for (auto c : to_string(x))
    trace_ = (trace_ ^ static_cast<unsigned char>(c)) * 0x100000001b3;
}

bool workload::flush() {
  operation x;
  x.what = operation::kind::flush;
  x.sent = ++now_;
  flushed_.reset();
  caf::anon_send(clients_[0].handle, flush_all_atom::value);
  auto answered =
      cluster_.run_until([this] { return flushed_.has_value(); }, std::chrono::seconds{5});
  x.answered = ++now_;
  x.end = operation::ending::answered;
  for (auto& key : keys_)
    histories_[key].push_back(x);
  return answered && *flushed_;
}

void workload::start_flush(actor_type::pointer self) {
  self->request(cluster_.node(random_node()).topology, limits::service_deadline,
                flush_all_atom::value, int64_t{0})
      .then([this](bool done) { flushed_ = done; },
            [this](const caf::error&) { flushed_ = false; });
}

bool workload::read_everywhere() {
  for (size_t node = 0; node < cluster_.size(); ++node) {
    if (!cluster_.serves(node))
      continue;
    request_list list;
    for (auto& key : keys_)
      ask(0, node, key, std::nullopt, list);
    caf::send_as(caf::actor_cast<caf::actor>(clients_[0].handle),
                 cluster_.node(node).loop->take_coordinator(), std::move(list));
    if (!cluster_.run_until([this] { return idle(); }, std::chrono::seconds{5}))
      return false;
  }
  return true;
}

} // namespace kai::test
