#include "test/support/sim_cluster.hpp"

#include <algorithm>

#include <caf/raise_error.hpp>
#include <caf/send.hpp>

#include "actors/vnode.hpp"
#include "protocol/topology_messages.hpp"
#include "test/support/arrived.hpp"
#include "test/support/virtual_time.hpp"

namespace kai::test {

namespace {

/// 2024-01-01, in microseconds since 1970.
constexpr timestamp first_moment = 1'704'067'200'000'000;

/// Time passes while actors have work only when the next event is this near: no actor sleeps
/// longer.
constexpr std::chrono::milliseconds rush_max{2};

/// The node id that node_core draws from a seed.
node_id id_of(uint64_t seed) {
  std::mt19937_64 random{seed};
  random();
  return random();
}

} // namespace

node_options sim_options::small_node() {
  node_options x;
  x.cluster.partitions = 16;
  x.storage.engine = engine_kind::memory;
  return x;
}

sim_cluster::config::config() {
  set("scheduler.policy", caf::atom("testing"));
  set("logger.inline-output", true);
  add_messages(*this);
}

sim_cluster::sim_cluster(sim_options options)
    : options_(std::move(options)), random_(options_.seed), schedule_(random_()) {
  system_ = std::make_unique<caf::actor_system>(config_);
  scheduler_ = &dynamic_cast<caf::scheduler::test_coordinator&>(system_->scheduler());
  began_ = scheduler_->clock().now();
  uint32_t shuffles[] = {256, 256, 64, 16};
  uint32_t rushes[] = {0, 0, 10, 100};
  shuffled_ = shuffles[schedule_() % 4];
  rushed_ = rushes[schedule_() % 4];
  network_ = std::make_unique<sim_network>(*system_, options_.nodes, random_(), options_.delays);
  auto within = [this](int64_t most) {
    return static_cast<int64_t>(random_() % (2 * static_cast<uint64_t>(most) + 1)) - most;
  };
  auto offset_max =
      std::chrono::duration_cast<std::chrono::microseconds>(options_.clock_offset_max).count();
  for (size_t i = 0; i < options_.nodes; ++i) {
    auto& x = nodes_.emplace_back();
    x.name = "n" + std::to_string(i);
    x.memcache_address = "10.0.0." + std::to_string(i) + ":11211";
    x.cluster_address = "10.0.0." + std::to_string(i) + ":11011";
    x.seed = random_();
    x.clock_offset = within(offset_max);
    x.clock_drift_ppm = within(options_.clock_drift_max_ppm);
    x.disk = std::make_unique<memory_env>();
    x.files = std::make_shared<std::map<std::string, std::string>>();
  }
}

std::unique_ptr<sim_cluster> sim_cluster::founded(sim_options options) {
  std::unique_ptr<sim_cluster> result{new sim_cluster(std::move(options))};
  result->write_topology();
  for (size_t i = 0; i < result->founders(); ++i)
    result->start(i, {});
  if (!result->run_until([&] { return result->caught_up(); }, std::chrono::seconds{30}))
    CAF_RAISE_ERROR("the simulated nodes do not find their replicas equal");
  return result;
}

std::unique_ptr<sim_cluster> sim_cluster::joined(sim_options options) {
  std::unique_ptr<sim_cluster> result{new sim_cluster(std::move(options))};
  for (size_t i = 0; i < result->size(); ++i) {
    result->start(i, i == 0 ? std::vector<std::string>{}
                            : std::vector<std::string>{result->nodes_[0].cluster_address});
    auto is_member = [&] { return result->node(i).loop->view != nullptr; };
    if (!result->run_until(is_member, std::chrono::seconds{30}))
      CAF_RAISE_ERROR("a simulated node does not become a member");
  }
  auto all = [&] {
    for (size_t i = 0; i < result->size(); ++i) {
      auto& topo = result->node(i).loop->view->topo;
      if (topo.members.size() != result->size() || !at_rest(topo))
        return false;
    }
    return result->caught_up();
  };
  if (!result->run_until(all, std::chrono::seconds{30}))
    CAF_RAISE_ERROR("the simulated nodes do not find their replicas equal");
  return result;
}

sim_cluster::~sim_cluster() {
  for (auto& x : nodes_)
    if (x.core)
      x.core->kill();
  network_->shut_down();
  // Delayed messages keep their receivers.
  for (int i = 0; i < 10 && system_->registry().running() > 0; ++i) {
    run_idle();
    scheduler_->clock().cancel_all();
  }
  nodes_.clear();
  if (system_->registry().running() > 0)
    CAF_CRITICAL("simulated actors live on: the actor system's end would wait for ever");
}

/// What a vote would have decided, on the disk of every node.
void sim_cluster::write_topology() {
  cluster_settings settings;
  settings.replicas = options_.node.cluster.replicas;
  settings.read_quorum = options_.node.read_quorum_or_majority();
  settings.write_quorum = options_.node.write_quorum_or_majority();
  settings.partitions = options_.node.cluster.partitions;
  topology topo;
  for (size_t i = 0; i < founders(); ++i) {
    auto& x = nodes_[i];
    member m;
    m.name = x.name;
    m.memcache_address = x.memcache_address;
    m.cluster_address = x.cluster_address;
    m.id = id_of(x.seed);
    if (topo.epoch == 0)
      topo = found(random_(), settings, m);
    else if (auto grown = with_member(topo, m))
      topo = arrived(*grown);
    else
      CAF_RAISE_ERROR("the simulated cluster's settings are not valid");
  }
  auto bytes = encode_blob(topo).str();
  for (size_t i = 0; i < founders(); ++i) {
    auto& x = nodes_[i];
    (*x.files)["topology"] = bytes;
    if (options_.node.storage.engine != engine_kind::leveldb)
      continue;
    directory_options directory;
    directory.path = "/data";
    directory.node_name = x.name;
    directory.fresh_node_id = id_of(x.seed);
    directory.vnodes = options_.vnodes;
    directory.env = x.disk.get();
    auto made = node_directory::open(directory);
    if (!made || (*made)->write_file("topology", bytes))
      CAF_RAISE_ERROR("a simulated disk does not work");
  }
}

void sim_cluster::start(size_t i, std::vector<std::string> seeds) {
  auto& x = nodes_[i];
  auto options = options_.node;
  options.node.name = x.name;
  options.cluster.seeds = std::move(seeds);
  options.storage.directory = "/data";
  // Full soon.
  options.storage.cache = 64 * 1024;
  node_environment environment;
  environment.wall_clock = [this, i] { return wall_clock(i); };
  environment.seed = x.seed;
  environment.dialer = network_->dialer_of(i);
  environment.env = x.disk.get();
  environment.settle = [disk = x.disk.get()] { disk->run_scheduled(); };
  environment.files = x.files;
  environment.threads = false;
  environment.vnodes = options_.vnodes;
  x.ready = false;
  x.core = std::make_unique<node_core>(*system_, std::move(options), std::move(environment));
  network_->listen(i, x.cluster_address, x.core->gateway);
  if (x.core->open(x.name, x.memcache_address, x.cluster_address))
    CAF_RAISE_ERROR("a simulated node does not open");
  caf::anon_send(x.core->topology, start_atom::value);
}

size_t sim_cluster::index_of(const std::string& name) const {
  auto i = std::find_if(nodes_.begin(), nodes_.end(), [&](auto& x) { return x.name == name; });
  return static_cast<size_t>(i - nodes_.begin());
}

caf::timespan sim_cluster::elapsed() const {
  return std::chrono::duration_cast<caf::timespan>(scheduler_->clock().now() - began_);
}

timestamp sim_cluster::wall_clock(size_t i) const {
  auto& x = nodes_[i];
  auto time = std::chrono::duration_cast<std::chrono::microseconds>(elapsed()).count();
  auto off = x.clock_offset + time * x.clock_drift_ppm / 1'000'000;
  return first_moment + static_cast<timestamp>(time + off);
}

void sim_cluster::step() {
  ++steps_;
  auto& jobs = scheduler_->jobs;
  auto rush = rushed_ != 0 && schedule_() % 1024 < rushed_;
  if (jobs.empty() ||
      (rush && scheduler_->clock().has_pending_timeout() &&
       scheduler_->clock().schedule().begin()->first - scheduler_->clock().now() < rush_max)) {
    if (!advance())
      CAF_RAISE_ERROR("nothing is left to do in the simulation");
    return;
  }
  if (jobs.size() > 1 && schedule_() % 256 < shuffled_)
    std::swap(jobs.front(), jobs[schedule_() % jobs.size()]);
  mix(jobs.size());
  scheduler_->run_once();
}

bool sim_cluster::advance() {
  auto& clock = scheduler_->clock();
  if (!clock.has_pending_timeout())
    return false;
  auto wait = clock.schedule().begin()->first - clock.now();
  clock.advance_time(std::max(wait, decltype(wait){0}));
  mix(static_cast<uint64_t>(elapsed().count()));
  return true;
}

bool sim_cluster::run_until(const std::function<bool()>& done, caf::timespan limit) {
  auto end = elapsed() + limit;
  while (!done()) {
    if (elapsed() > end)
      return false;
    step();
  }
  return true;
}

void sim_cluster::run_for(caf::timespan time) {
  auto end = elapsed() + time;
  while (elapsed() < end)
    step();
}

void sim_cluster::run_idle() {
  while (scheduler_->has_job())
    scheduler_->run_once();
}

bool sim_cluster::serves(size_t i) {
  if (!is_up(i) || !node(i).loop->view || node(i).context->left)
    return false;
  if (nodes_[i].ready || options_.founders == 0)
    return true;
  auto& view = *node(i).loop->view;
  for (size_t j = 0; j < view.topo.members.size(); ++j)
    if (is_up(index_of(view.topo.members[j].name)) && !view.alive[j])
      return false;
  return nodes_[i].ready = true;
}

bool sim_cluster::connected() {
  for (size_t i = 0; i < nodes_.size(); ++i) {
    if (!is_up(i))
      continue;
    auto& view = node(i).loop->view;
    if (!view)
      return false;
    for (size_t j = 0; j < view->topo.members.size(); ++j) {
      auto other = index_of(view->topo.members[j].name);
      if (is_up(other) && !view->alive[j] && !network_->is_cut(i, other))
        return false;
    }
  }
  return true;
}

bool sim_cluster::caught_up() {
  if (!connected())
    return false;
  for (auto& x : nodes_) {
    if (!x.core)
      continue;
    auto& view = *x.core->loop->view;
    for (uint32_t p = 0; p < view.topo.settings.partitions; ++p) {
      auto partition = static_cast<partition_id>(p);
      auto& vnodes = x.core->vnodes;
      auto& state = state_of<vnode_state>(vnodes[p % vnodes.size()]);
      // Before its first message it knows nothing.
      if (!state.context || (view.owns(view.self, partition) && !state.caught_up(partition)))
        return false;
    }
  }
  return true;
}

void sim_cluster::cut(size_t a, size_t b) { network_->cut(a, b); }

void sim_cluster::heal(size_t a, size_t b) { network_->heal(a, b); }

void sim_cluster::crash(size_t i, bool torn) {
  auto& x = nodes_[i];
  network_->listen(i, {}, {});
  network_->disconnect(i);
  if (torn)
    x.disk->crash_torn(random_());
  else
    x.disk->crash();
  x.core->kill();
  run_idle();
  x.core.reset();
}

void sim_cluster::retire(size_t i) {
  auto& x = nodes_[i];
  network_->listen(i, {}, {});
  network_->disconnect(i);
  x.core->kill();
  run_idle();
  x.core.reset();
}

void sim_cluster::wipe(size_t i) { nodes_[i].disk = std::make_unique<memory_env>(); }

void sim_cluster::restart(size_t i) {
  auto& x = nodes_[i];
  x.disk->power_on();
  x.seed = random_();
  x.files = std::make_shared<std::map<std::string, std::string>>();
  std::vector<std::string> seeds;
  for (auto& y : nodes_)
    if (y.core)
      seeds.push_back(y.cluster_address);
  start(i, std::move(seeds));
}

uint64_t sim_cluster::trace() const { return trace_ ^ network_->trace() ^ steps_; }

} // namespace kai::test
