/// kai-sim: runs simulations by seed; see README.md.

#include <charconv>
#include <cstdio>
#include <optional>
#include <string>
#include <string_view>

#include "actors/log.hpp"
#include "test/sim/changes.hpp"
#include "test/sim/faults.hpp"

namespace {

struct arguments {
  uint64_t from = 1;
  uint64_t to = 1;
  bool verbose = false;
  kai::test::simulation_options simulation;
  /// Set: faults, too.
  std::optional<kai::test::fault_mode> faults;
  /// Set: members come and go; with faults meanwhile, or not.
  std::optional<bool> changes;
};

template <class T>
bool read(std::string_view text, T& x) {
  auto [end, err] = std::from_chars(text.data(), text.data() + text.size(), x);
  return err == std::errc{} && end == text.data() + text.size();
}

bool read_seeds(std::string_view text, arguments& x) {
  auto dots = text.find("..");
  return dots != text.npos && read(text.substr(0, dots), x.from) &&
         read(text.substr(dots + 2), x.to) && x.from <= x.to;
}

bool parse(std::string_view text, arguments& x) {
  auto split = text.find('=');
  auto name = text.substr(0, split);
  auto value = split == text.npos ? std::string_view{} : text.substr(split + 1);
  if (name == "--seed" && read(value, x.from)) {
    x.to = x.from;
    return true;
  }
  if (name == "--seeds")
    return read_seeds(value, x);
  if (name == "--ops")
    return read(value, x.simulation.operations);
  if (name == "--clients")
    return read(value, x.simulation.clients) && x.simulation.clients <= 100;
  if (name == "--engine" && (value == "memory" || value == "leveldb")) {
    x.simulation.engine = value == "memory" ? kai::engine_kind::memory : kai::engine_kind::leveldb;
    return true;
  }
  if (name == "--faults" && (value == "one" || value == "many")) {
    x.faults = value == "one" ? kai::test::fault_mode::one : kai::test::fault_mode::many;
    return true;
  }
  if (name == "--changes" && (value == "plain" || value == "faults")) {
    x.changes = value == "faults";
    return true;
  }
  if (text == "--flush-under-load")
    return x.simulation.flush_under_load = true;
  if (text == "--verbose")
    return x.verbose = true;
  return false;
}

/// The command that does it again.
std::string replay(const arguments& x, uint64_t seed) {
  auto text = "kai-sim --seed=" + std::to_string(seed);
  if (x.simulation.operations != 0)
    text += " --ops=" + std::to_string(x.simulation.operations);
  if (x.simulation.clients != 0)
    text += " --clients=" + std::to_string(x.simulation.clients);
  if (x.faults)
    text += std::string{" --faults="} + (*x.faults == kai::test::fault_mode::one ? "one" : "many");
  if (x.changes)
    text += std::string{" --changes="} + (*x.changes ? "faults" : "plain");
  if (x.simulation.engine == kai::engine_kind::leveldb)
    text += " --engine=leveldb";
  if (x.simulation.flush_under_load)
    text += " --flush-under-load";
  return text + " --verbose";
}

std::string first_lines(const std::string& text, size_t most) {
  size_t end = 0;
  for (; most > 0 && end < text.size(); --most)
    end = text.find('\n', end) + 1;
  return end < text.size() ? text.substr(0, end) + "...\n" : text;
}

} // namespace

int main(int argc, char** argv) {
  arguments x;
  for (int i = 1; i < argc; ++i)
    if (!parse(argv[i], x)) {
      std::fprintf(stderr,
                   "kai-sim: %s: not understood\nusage: kai-sim [--seed=N | --seeds=FROM..TO] "
                   "[--ops=N] [--clients=N] [--engine=memory|leveldb] [--faults=one|many] "
                   "[--changes=plain|faults] "
                   "[--flush-under-load] [--verbose]\n",
                   argv[i]);
      return 2;
    }
  kai::set_initial_log_level(x.verbose ? kai::log_level::debug : kai::log_level::error);
  uint64_t failed = 0;
  uint64_t operations = 0;
  uint64_t steps = 0;
  uint64_t gave_way = 0;
  uint64_t undecided = 0;
  kai::test::simulation_result last;
  for (auto seed = x.from; seed <= x.to; ++seed) {
    x.simulation.seed = seed;
    last = x.changes  ? kai::test::simulate_changes({seed, *x.changes, x.simulation.operations})
           : x.faults ? kai::test::simulate_faults({seed, *x.faults, x.simulation.operations})
                      : kai::test::simulate(x.simulation);
    operations += last.operations;
    steps += last.steps;
    gave_way += last.gave_way;
    undecided += last.undecided;
    if (last.problem.empty())
      continue;
    ++failed;
    auto text = x.verbose ? last.problem : first_lines(last.problem, 6);
    std::printf("seed %llu failed (%s):\n%sreplay: %s\n", static_cast<unsigned long long>(seed),
                last.setting.c_str(), text.c_str(), replay(x, seed).c_str());
    std::fflush(stdout);
  }
  auto seeds = x.to - x.from + 1;
  std::printf("%llu seeds, %llu failed; %llu operations (%llu contended), "
              "%llu histories undecided, %llu steps",
              static_cast<unsigned long long>(seeds), static_cast<unsigned long long>(failed),
              static_cast<unsigned long long>(operations),
              static_cast<unsigned long long>(gave_way), static_cast<unsigned long long>(undecided),
              static_cast<unsigned long long>(steps));
  if (seeds == 1)
    std::printf(", %.3f s of virtual time, trace %016llx",
                std::chrono::duration<double>(last.elapsed).count(),
                static_cast<unsigned long long>(last.trace));
  std::printf("\n");
  return failed == 0 ? 0 : 1;
}
