#include "apps/options.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <limits>

#include "protocol/errc.hpp"
#include "protocol/limits.hpp"

namespace kai {

namespace {

caf::error wrong(std::string_view text, std::string_view expected) {
  return failure(errc::bad_configuration,
                 "\"" + std::string{text} + "\" is not " + std::string{expected});
}

/// Sets `target` from what a parser gave.
template <class T, class U>
caf::error take(T& target, caf::expected<U> value) {
  if (!value)
    return std::move(value.error());
  target = static_cast<T>(std::move(*value));
  return caf::none;
}

template <class T>
caf::error read_number(T& target, std::string_view text) {
  return take(target, parse_number(text, std::numeric_limits<T>::max()));
}

/// A number, or a word that stands for a value which numbers can not say.
template <class T>
caf::error read_number_or(T& target, std::string_view text, std::string_view word) {
  auto number = parse_number(text, std::numeric_limits<uint16_t>::max());
  if (!number)
    return wrong(text, "a number from 0 to 65535 or " + std::string{word});
  target = static_cast<uint16_t>(*number);
  return caf::none;
}

caf::error read_quorum(uint16_t& target, std::string_view text) {
  if (text == "majority") {
    target = 0;
    return caf::none;
  }
  if (auto err = read_number_or(target, text, "majority"))
    return err;
  if (target == 0)
    return failure(errc::bad_configuration, "0 is out of range: at least 1, or majority");
  return caf::none;
}

caf::error read_loops(size_t& target, std::string_view text) {
  auto number = parse_number(text, SIZE_MAX);
  if (!number)
    return std::move(number.error());
  if (*number < 1 || *number > limits::nodes_per_process_max)
    return failure(errc::bad_configuration, std::string{text} + " is out of range: 1 to " +
                                                std::to_string(limits::nodes_per_process_max));
  target = *number;
  return caf::none;
}

std::string show_quorum(uint16_t x) { return x == 0 ? "majority" : std::to_string(x); }

caf::error read_text(std::string& target, std::string_view text) {
  if (text.find('\0') != std::string_view::npos)
    return failure(errc::bad_configuration, "contains a zero byte");
  target = text;
  return caf::none;
}

caf::error read_list(std::vector<std::string>& target, std::string_view text) {
  target.clear();
  while (!text.empty()) {
    auto comma = text.find(',');
    auto item = text.substr(0, comma);
    auto first = item.find_first_not_of(' ');
    if (first == std::string_view::npos)
      return wrong(text, "a list: there is nothing before or after a comma");
    target.emplace_back(item.substr(first, item.find_last_not_of(' ') - first + 1));
    if (comma == std::string_view::npos)
      return caf::none;
    text.remove_prefix(comma + 1);
    if (text.empty())
      return wrong(target.back() + ",", "a list: there is nothing after the last comma");
  }
  return caf::none;
}

std::string show_list(const std::vector<std::string>& xs) {
  std::string result;
  for (auto& x : xs)
    result += (result.empty() ? "" : ",") + x;
  return result;
}

template <class E>
struct choice {
  std::string_view word;
  E value;
};

constexpr std::array conflict_choices{choice{"latest", conflicts_mode::latest},
                                      choice{"siblings", conflicts_mode::siblings}};
constexpr std::array engine_choices{choice{"leveldb", engine_kind::leveldb},
                                    choice{"memory", engine_kind::memory}};
constexpr std::array sync_choices{choice{"always", sync_mode::always},
                                  choice{"interval", sync_mode::interval},
                                  choice{"never", sync_mode::never}};
constexpr std::array evict_choices{choice{"none", eviction::none}, choice{"lru", eviction::lru}};
constexpr std::array level_choices{
    choice{"error", log_level::error}, choice{"warning", log_level::warning},
    choice{"info", log_level::info}, choice{"debug", log_level::debug}};

template <class E, size_t N>
caf::error read_choice(E& target, std::string_view text, const std::array<choice<E>, N>& choices) {
  std::string words;
  for (auto& [word, value] : choices) {
    if (word == text) {
      target = value;
      return caf::none;
    }
    words += (words.empty() ? "" : ", ") + std::string{word};
  }
  return wrong(text, "one of " + words);
}

template <class E, size_t N>
std::string show_choice(E x, const std::array<choice<E>, N>& choices) {
  auto i = std::find_if(choices.begin(), choices.end(), [x](auto& c) { return c.value == x; });
  return std::string{i->word};
}

// Shorthands of the table below only.
using target = process_options&;
using source = const process_options&;
using text = std::string_view;

constexpr option table[] = {
    {"node.name", 0, value_form::text, "NAME",
     "unique and stable name of the member; set it where addresses may change (default: "
     "CLUSTER-ADDRESS:CLUSTER-PORT)",
     [](target o, text x) { return read_text(o.node.node.name, x); },
     [](source o) { return o.node.node.name; }},
    {"node.zone", 0, value_form::text, "ZONE",
     "failure domain: replicas spread over distinct zones (default: a zone of its own)",
     [](target o, text x) { return read_text(o.node.node.zone, x); },
     [](source o) { return o.node.node.zone; }},
    {"node.loops", 0, value_form::number, "COUNT",
     "I/O loops, one per core to use; more than 1: each is a member NAME.1, NAME.2, ...",
     [](target o, text x) { return read_loops(o.loops, x); },
     [](source o) { return std::to_string(o.loops); }},

    {"memcache.address", 0, value_form::text, "HOST", "address that clients connect to",
     [](target o, text x) { return read_text(o.node.memcache.address, x); },
     [](source o) { return o.node.memcache.address; }},
    {"memcache.port", 'p', value_form::number, "PORT",
     "port that clients connect to; 0 takes any free one",
     [](target o, text x) { return read_number(o.node.memcache.port, x); },
     [](source o) { return std::to_string(o.node.memcache.port); }},
    {"memcache.max-connections", 0, value_form::number, "COUNT", "clients at a time",
     [](target o, text x) { return read_number(o.node.memcache.max_connections, x); },
     [](source o) { return std::to_string(o.node.memcache.max_connections); }},
    {"memcache.max-item-size", 0, value_form::word, "SIZE", "bytes of a value: 1 to 128m",
     [](target o, text x) { return take(o.node.memcache.max_item_size, parse_size(x)); },
     [](source o) { return show_size(o.node.memcache.max_item_size); }},
    {"memcache.auth-file", 0, value_form::text, "FILE",
     "lines of user:password; when set, clients must authenticate",
     [](target o, text x) { return read_text(o.node.memcache.auth_file, x); },
     [](source o) { return o.node.memcache.auth_file; }},

    {"cluster.address", 0, value_form::text, "HOST",
     "where to listen for other nodes and kai-admin, and what nodes are told: one they can reach",
     [](target o, text x) { return read_text(o.node.cluster.address, x); },
     [](source o) { return o.node.cluster.address; }},
    {"cluster.port", 'c', value_form::number, "PORT",
     "port that other nodes and kai-admin connect to; 0 takes any free one",
     [](target o, text x) { return read_number(o.node.cluster.port, x); },
     [](source o) { return std::to_string(o.node.cluster.port); }},
    {"cluster.seeds", 'j', value_form::list, "HOST:PORT,...",
     "members to join through; none, and no data: found a new cluster",
     [](target o, text x) { return read_list(o.node.cluster.seeds, x); },
     [](source o) { return show_list(o.node.cluster.seeds); }},
    {"cluster.replicas", 0, value_form::number, "N",
     "replicas of every key: 1 to 16; fixed when the cluster is founded",
     [](target o, text x) { return read_number(o.node.cluster.replicas, x); },
     [](source o) { return std::to_string(o.node.cluster.replicas); }},
    {"cluster.read-quorum", 0, value_form::word, "R",
     "replicas that answer a read: 1 to N or majority; fixed when the cluster is founded",
     [](target o, text x) { return read_quorum(o.node.cluster.read_quorum, x); },
     [](source o) { return show_quorum(o.node.cluster.read_quorum); }},
    {"cluster.write-quorum", 0, value_form::word, "W",
     "replicas that take a write before its answer: 1 to N or majority; fixed when the cluster is "
     "founded",
     [](target o, text x) { return read_quorum(o.node.cluster.write_quorum, x); },
     [](source o) { return show_quorum(o.node.cluster.write_quorum); }},
    {"cluster.partitions", 0, value_form::number, "COUNT",
     "slices of the hash space: a power of two up to 32768; fixed when the cluster is founded",
     [](target o, text x) { return read_number(o.node.cluster.partitions, x); },
     [](source o) { return std::to_string(o.node.cluster.partitions); }},
    {"cluster.conflicts", 0, value_form::word, "latest|siblings",
     "what get and gets of the text protocol show of concurrent versions: one or all",
     [](target o, text x) { return read_choice(o.node.cluster.conflicts, x, conflict_choices); },
     [](source o) { return show_choice(o.node.cluster.conflicts, conflict_choices); }},

    {"storage.engine", 0, value_form::word, "leveldb|memory", "where records are kept",
     [](target o, text x) { return read_choice(o.node.storage.engine, x, engine_choices); },
     [](source o) { return show_choice(o.node.storage.engine, engine_choices); }},
    {"storage.directory", 'd', value_form::text, "DIRECTORY", "one node's files",
     [](target o, text x) { return read_text(o.node.storage.directory, x); },
     [](source o) { return o.node.storage.directory; }},
    {"storage.sync", 0, value_form::word, "always|interval|never",
     "when an acknowledged write is on the disk: before the answer, within 100 ms, when the system "
     "writes it",
     [](target o, text x) { return read_choice(o.node.storage.sync, x, sync_choices); },
     [](source o) { return show_choice(o.node.storage.sync, sync_choices); }},
    {"storage.grace", 0, value_form::word, "DURATION", "how long delete marks stay at least",
     [](target o, text x) { return take(o.node.storage.grace, parse_duration(x)); },
     [](source o) { return show_duration(o.node.storage.grace); }},
    {"storage.memory-limit", 0, value_form::word, "SIZE", "bytes of the memory engine; 0: no limit",
     [](target o, text x) { return take(o.node.storage.memory_limit, parse_size(x)); },
     [](source o) { return show_size(o.node.storage.memory_limit); }},
    {"storage.cache", 0, value_form::word, "SIZE",
     "bytes of records that are in memory as well as in LevelDB; 0: an eighth of the memory, 4g at "
     "most",
     [](target o, text x) { return take(o.node.storage.cache, parse_size(x)); },
     [](source o) { return show_size(o.node.storage.cache); }},
    {"storage.evict", 0, value_form::word, "none|lru", "what a full memory engine does",
     [](target o, text x) { return read_choice(o.node.storage.evict, x, evict_choices); },
     [](source o) { return show_choice(o.node.storage.evict, evict_choices); }},

    {"admin.address", 0, value_form::text, "HOST", "where the HTTP server listens",
     [](target o, text x) { return read_text(o.node.admin.address, x); },
     [](source o) { return o.node.admin.address; }},
    {"admin.port", 0, value_form::word, "PORT|off",
     "HTTP: /healthz, /metrics, /api/v1/cluster and a page; 0 takes any free one",
     [](target o, text x) {
       if (x != "off")
         return read_number_or(o.node.admin.port, x, "off");
       o.node.admin.port = std::nullopt;
       return caf::error{};
     },
     [](source o) { return o.node.admin.port ? std::to_string(*o.node.admin.port) : "off"; }},

    {"log.level", 0, value_form::word, "error|warning|info|debug", "how much is written to stderr",
     [](target o, text x) { return read_choice(o.log, x, level_choices); },
     [](source o) { return show_choice(o.log, level_choices); }},
};

struct unit {
  std::string_view suffix;
  uint64_t factor;
};

/// Digits and one of `units`: nothing on overflow.
std::optional<uint64_t> parse_scaled(std::string_view text, std::span<const unit> units) {
  auto digits = text.substr(0, text.find_first_not_of("0123456789"));
  auto suffix = text.substr(digits.size());
  auto number = parse_number(digits);
  auto found =
      std::find_if(units.begin(), units.end(), [&](auto& u) { return u.suffix == suffix; });
  if (!number || found == units.end() || *number > UINT64_MAX / found->factor)
    return std::nullopt;
  return *number * found->factor;
}

/// In the largest unit that divides it; `units` is sorted, the smallest first.
std::string show_scaled(uint64_t x, std::span<const unit> units) {
  auto best = units.front();
  for (auto& u : units)
    if (x != 0 && x % u.factor == 0)
      best = u;
  return std::to_string(x / best.factor) + std::string{best.suffix};
}

constexpr unit size_units[] = {{"", 1}, {"k", 1 << 10}, {"m", 1 << 20}, {"g", 1 << 30}};
constexpr unit duration_units[] = {
    {"ms", 1'000'000}, {"s", 1'000'000'000}, {"min", 60'000'000'000}, {"h", 3'600'000'000'000}};

} // namespace

std::span<const option> all_options() { return table; }

const option* find_option(std::string_view name) {
  auto i =
      std::find_if(std::begin(table), std::end(table), [&](auto& x) { return x.name == name; });
  return i != std::end(table) ? i : nullptr;
}

const option* find_option(char short_form) {
  auto i = std::find_if(std::begin(table), std::end(table),
                        [&](auto& x) { return short_form != 0 && x.short_form == short_form; });
  return i != std::end(table) ? i : nullptr;
}

caf::expected<uint64_t> parse_number(std::string_view text, uint64_t max) {
  uint64_t result = 0;
  auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), result);
  auto digits = !text.empty() && end == text.data() + text.size();
  if (!digits || code == std::errc::invalid_argument)
    return wrong(text, "a number");
  if (code != std::errc{} || result > max)
    return failure(errc::bad_configuration,
                   std::string{text} + " is out of range: 0 to " + std::to_string(max));
  return result;
}

caf::expected<uint64_t> parse_size(std::string_view text) {
  if (auto result = parse_scaled(text, size_units))
    return *result;
  return wrong(text, "a size: a number of bytes, or one with k, m or g");
}

std::string show_size(uint64_t bytes) { return show_scaled(bytes, size_units); }

caf::expected<caf::timespan> parse_duration(std::string_view text) {
  auto result = parse_scaled(text, duration_units);
  if (result && *result <= static_cast<uint64_t>(caf::timespan::max().count()))
    return caf::timespan{static_cast<caf::timespan::rep>(*result)};
  return wrong(text, "a duration: a number with ms, s, min or h");
}

std::string show_duration(caf::timespan x) {
  return show_scaled(static_cast<uint64_t>(x.count()), duration_units);
}

} // namespace kai
