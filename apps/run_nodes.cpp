#include "apps/run_nodes.hpp"

#include <algorithm>
#include <iostream>
#include <memory>
#include <thread>

#include "actors/log.hpp"
#include "apps/hosted_node.hpp"
#include "apps/process.hpp"
#include "protocol/errc.hpp"
#include "protocol/limits.hpp"

namespace kai {

namespace {

using namespace std::chrono_literals;

/// Files that a node has open besides its clients' connections: LevelDB's tables, the other nodes.
constexpr size_t files_besides_clients = 2048;

void print(const std::string& line) { std::cout << line << std::endl; }

std::string ready_line(const node::endpoints& x) {
  return "kai-node ready name=" + x.name + " memcache=" + x.memcache + " cluster=" + x.cluster +
         " admin=" + x.admin;
}

class runner {
public:
  explicit runner(node_plan plan) : plan_(std::move(plan)), log_(plan_.program) {}

  int run() {
    make_room();
    share_memory();
    nodes_.resize(plan_.nodes.size());
    start_next();
    auto status = loop();
    stop_guard guard{plan_.program, limits::stop_deadline, [this] { clean_up(); }};
    stop_all();
    clean_up();
    return status;
  }

private:
  /// So many files as the connections need, or so many connections as there are files for.
  void make_room() {
    size_t wanted = 0;
    for (auto& x : plan_.nodes)
      wanted += x.memcache.max_connections + files_besides_clients;
    auto limit = raise_file_limit(wanted);
    if (limit >= wanted)
      return;
    auto share = limit / plan_.nodes.size();
    auto clients = std::max<size_t>(share - std::min(files_besides_clients, share / 2), 1);
    for (auto& x : plan_.nodes)
      x.memcache.max_connections = std::min(x.memcache.max_connections, clients);
    log_.warning("memcache.max-connections: cut to {}, the system lets this process open only {} "
                 "files (ulimit -n)",
                 plan_.nodes.front().memcache.max_connections, limit);
  }

  void share_memory() {
    auto bytes =
        std::min(usable_memory() / limits::cached_part_of_memory, limits::cached_record_bytes_max);
    for (auto& x : plan_.nodes)
      if (x.storage.cache == 0)
        x.storage.cache = bytes / plan_.nodes.size();
  }

  /// Nodes that join through the first wait until its address is known.
  void start_next() {
    for (size_t i = 0; i < nodes_.size(); ++i) {
      if (started_ > i)
        continue;
      auto& options = plan_.nodes[i];
      if (i > 0 && plan_.join_first && options.cluster.seeds.empty()) {
        auto& first = plan_.nodes.front().cluster;
        if (first.port != 0)
          options.cluster.seeds = {to_host_port(first.address, first.port)};
        else if (!first_address_.empty())
          options.cluster.seeds = {first_address_};
        else
          return;
      }
      nodes_[i] = std::make_unique<hosted_node>(options, plan_.caf);
      ++started_;
    }
  }

  int loop() {
    while (true) {
      switch (wait_for_signal(all_ready_ ? 100ms : 10ms)) {
      case signal_event::stop: log_.info("stopping"); return 0;
      case signal_event::reload: reload(); break;
      case signal_event::none: break;
      }
      if (auto err = announce())
        return complain(plan_.program, message_of(err),
                        err == errc::bad_configuration ? exit_used_wrongly : exit_failed);
      start_next();
      if (all_ready_ && let_go())
        return 0;
    }
  }

  /// Prints the ready lines in the nodes' order.
  caf::error announce() {
    // A later one's failure may be why an earlier one waits.
    for (auto i = next_; i < started_; ++i)
      if (auto outcome = nodes_[i]->outcome(); outcome && !*outcome)
        return outcome->error();
    for (; next_ < started_; ++next_) {
      auto outcome = nodes_[next_]->outcome();
      if (!outcome)
        break;
      print(ready_line(**outcome));
      if (next_ == 0)
        first_address_ = (*outcome)->cluster;
    }
    if (next_ == nodes_.size() && !all_ready_) {
      all_ready_ = true;
      if (!plan_.ready_line.empty())
        print(plan_.ready_line);
    }
    return caf::none;
  }

  void reload() {
    for (auto& x : nodes_)
      if (x)
        x->reload();
  }

  /// Ends nodes that have left the cluster. True: there is none any more.
  bool let_go() {
    for (auto& x : nodes_)
      if (x && x->left()) {
        x.reset();
        log_.info("a node has left its cluster and is stopped");
      }
    return std::none_of(nodes_.begin(), nodes_.end(), [](auto& x) { return x != nullptr; });
  }

  /// All at once: each may take its time to finish what runs.
  void stop_all() {
    std::vector<std::thread> threads;
    for (auto& x : nodes_)
      if (x)
        threads.emplace_back([&x] { x.reset(); });
    for (auto& x : threads)
      x.join();
  }

  void clean_up() {
    std::error_code ignored;
    if (!plan_.scratch.empty())
      std::filesystem::remove_all(plan_.scratch, ignored);
  }

  node_plan plan_;
  logger log_;
  /// nullptr: not started, or gone.
  std::vector<std::unique_ptr<hosted_node>> nodes_;
  size_t started_ = 0;
  /// Whose ready line comes next.
  size_t next_ = 0;
  std::string first_address_;
  bool all_ready_ = false;
};

} // namespace

int run_nodes(node_plan plan) { return runner{std::move(plan)}.run(); }

} // namespace kai
