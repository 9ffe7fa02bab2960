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
    if (auto err = share_clients())
      return complain(plan_.program, message_of(err), exit_used_wrongly);
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
    // The loops of a host have one such limit together.
    auto sharers = shares_port() ? 1 : plan_.nodes.size();
    auto besides = files_besides_clients * plan_.nodes.size() / sharers;
    auto wanted = sharers * (plan_.nodes.front().memcache.max_connections + besides);
    auto limit = raise_file_limit(wanted);
    if (limit >= wanted)
      return;
    auto share = limit / sharers;
    auto clients = std::max<size_t>(share - std::min(besides, share / 2), 1);
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

  bool shares_port() const { return !plan_.host.empty(); }

  caf::error share_clients() {
    if (!shares_port())
      return caf::none;
    auto& options = plan_.nodes.front().memcache;
    auto shares =
        share_port(options.address, options.port, plan_.nodes.size(), options.max_connections);
    if (!shares)
      return cannot_listen("memcache", options.address, options.port, shares.error());
    shares_ = std::move(*shares);
    return caf::none;
  }

  node_environment environment_of(size_t i) const {
    auto result = real_environment();
    if (shares_port()) {
      result.clients = shares_[i];
      result.neighbours = neighbours_;
      result.vnodes = std::max(result.vnodes / static_cast<uint32_t>(shares_.size()), 1u);
    }
    return result;
  }

  /// Each joins through those before it, once their addresses are known: when all have others than
  /// last time, the last ones reach a majority by them.
  void start_next() {
    for (; started_ < nodes_.size(); ++started_) {
      auto& options = plan_.nodes[started_];
      if (plan_.join_earlier) {
        if (started_ > 0 && address_of(started_ - 1).empty())
          return;
        for (size_t i = 0; i < started_ && options.cluster.seeds.size() < limits::members_max; ++i)
          options.cluster.seeds.push_back(address_of(i));
      }
      nodes_[started_] =
          std::make_unique<hosted_node>(options, plan_.caf, environment_of(started_));
    }
  }

  /// Known beforehand, or once it is bound.
  std::string address_of(size_t i) {
    auto& options = plan_.nodes[i].cluster;
    return options.port != 0 ? to_host_port(options.address, options.port)
                             : nodes_[i]->cluster_address();
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
        return error_of(i, outcome->error());
    for (; next_ < started_; ++next_) {
      auto outcome = nodes_[next_]->outcome();
      if (!outcome)
        break;
      if (!shares_port())
        print(ready_line(**outcome));
      else if (next_ == 0)
        host_ = **outcome;
    }
    if (next_ == nodes_.size() && !all_ready_) {
      all_ready_ = true;
      if (shares_port()) {
        host_.name = plan_.host;
        print(ready_line(host_));
      }
      if (!plan_.ready_line.empty())
        print(plan_.ready_line);
    }
    return caf::none;
  }

  std::string name_of(size_t i) const {
    auto& name = plan_.nodes[i].node.name;
    return name.empty() ? "node " + std::to_string(i + 1) : name;
  }

  /// Says which of several nodes it is about.
  caf::error error_of(size_t i, const caf::error& err) const {
    if (nodes_.size() == 1)
      return err;
    return failure(err == errc::bad_configuration ? errc::bad_configuration : errc::refused,
                   name_of(i) + ": " + message_of(err));
  }

  void reload() {
    for (auto& x : nodes_)
      if (x)
        x->reload();
  }

  /// Ends nodes that have left the cluster, beside the others. True: there is none any more.
  bool let_go() {
    for (auto& x : nodes_)
      if (x && x->left())
        ending_.emplace_back([this, x = std::move(x)]() mutable {
          x.reset();
          log_.info("a node has left its cluster and is stopped");
        });
    return std::none_of(nodes_.begin(), nodes_.end(), [](auto& x) { return x != nullptr; });
  }

  /// All at once: each may take its time to finish what runs.
  void stop_all() {
    for (auto& x : nodes_)
      if (x)
        ending_.emplace_back([&x] { x.reset(); });
    for (auto& x : ending_)
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
  /// Each ends a node.
  std::vector<std::thread> ending_;
  size_t started_ = 0;
  /// Whose ready line comes next.
  size_t next_ = 0;
  /// The sockets of a host's loops.
  std::vector<port_share> shares_;
  std::shared_ptr<neighbours> neighbours_ = std::make_shared<neighbours>();
  /// Of a host: where its first loop listens.
  node::endpoints host_;
  bool all_ready_ = false;
};

} // namespace

int run_nodes(node_plan plan) { return runner{std::move(plan)}.run(); }

} // namespace kai
