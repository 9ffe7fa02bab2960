#include "test/support/local_cluster.hpp"

#include <stdexcept>

#include <caf/event_based_actor.hpp>
#include <caf/send.hpp>

#include "actors/cluster_view.hpp"

namespace kai {

namespace {

std::string address_of(size_t i) { return "127.0.0.1:" + std::to_string(7000 + i); }

size_t index_of(const std::string& address) { return std::stoul(address.substr(10)) - 7000; }

} // namespace

local_cluster::local_cluster(size_t nodes, cluster_settings settings) : settings_(settings) {
  dialer_ = fake<dialer_actor>([this](caf::event_based_actor*) -> caf::behavior {
    return {[this](dial_atom, const std::string& address) -> caf::result<gateway_actor> {
      auto i = index_of(address);
      if (i >= nodes_.size() || !nodes_[i]->gateway)
        return failure(errc::peer_down, "nobody is at " + address);
      return caf::actor_cast<gateway_actor>(nodes_[i]->gateway);
    }};
  });
  for (size_t i = 0; i < nodes; ++i) {
    add_node(i == 0 ? std::vector<std::string>{} : std::vector<std::string>{address_of(0)});
    if (!start(i))
      throw std::runtime_error("a node of the test's cluster did not start");
  }
  // Until all have what they were to get, and have found their replicas equal.
  for (int i = 0; i < 100 && !at_rest(core(0).loop->view->topo); ++i)
    advance(std::chrono::milliseconds{100});
  if (!at_rest(core(0).loop->view->topo))
    throw std::runtime_error("the test's cluster does not come to rest");
  advance(std::chrono::milliseconds{2500});
}

local_cluster::~local_cluster() {
  for (size_t i = 0; i < nodes_.size(); ++i)
    kill(i);
  run();
  nodes_.clear();
  run();
}

node_core& local_cluster::add_node(std::vector<std::string> seeds) {
  auto i = nodes_.size();
  node_options options;
  options.cluster.seeds = std::move(seeds);
  options.cluster.replicas = settings_.replicas;
  options.cluster.read_quorum = settings_.read_quorum;
  options.cluster.write_quorum = settings_.write_quorum;
  options.cluster.partitions = settings_.partitions;
  options.storage.engine = engine_kind::memory;
  node_environment environment;
  environment.wall_clock = [this] { return wall_now(); };
  environment.seed = 1000 + i;
  environment.dialer = dialer_;
  environment.threads = false;
  auto& x = *nodes_.emplace_back(std::make_unique<node>());
  x.core = std::make_unique<node_core>(sys, options, environment);
  x.core->context->log.set_level(log_level::error);
  if (x.core->open("n" + std::to_string(i), "127.0.0.1:1", address_of(i)))
    throw std::runtime_error("a node of the test's cluster can not be opened");
  connect(i);
  return *x.core;
}

void local_cluster::connect(size_t i) {
  auto forward = [this](caf::event_based_actor* self, size_t i) -> caf::behavior {
    auto inner = core(i).gateway;
    self->monitor(inner);
    self->set_down_handler([self](caf::down_msg& dm) { self->quit(dm.reason); });
    return {
        [=](hello_atom atom, const hello& y) { return self->delegate(inner, atom, y); },
        [=, this](call_batch& batch) {
          if (!at(i).swallow || !at(i).swallow(batch))
            self->delegate(inner, std::move(batch));
        },
        [=](admin_atom atom, std::string& command, std::vector<std::string>& arguments) {
          return self->delegate(inner, atom, std::move(command), std::move(arguments));
        },
    };
  };
  at(i).gateway = sys.spawn(forward, i);
}

void local_cluster::disconnect(size_t i) {
  caf::anon_send_exit(std::exchange(at(i).gateway, nullptr), caf::exit_reason::kill);
  run();
}

caf::expected<bool> local_cluster::start(size_t i, caf::timespan within) {
  auto pending = self->request(core(i).topology, caf::infinite, start_atom::value);
  advance(within);
  caf::expected<bool> result{failure(errc::timed_out, "it did not become a member")};
  if (self->has_next_message())
    pending.receive([&](bool x) { result = x; }, [&](caf::error& x) { result = std::move(x); });
  return result;
}

void local_cluster::kill(size_t i) {
  auto& x = at(i);
  if (x.alive)
    core(i).kill();
  x.alive = false;
  if (x.gateway)
    disconnect(i);
}

std::map<uint64_t, response> local_cluster::serve(size_t i, std::vector<request> requests) {
  auto missing = requests.size();
  std::map<uint64_t, response> result;
  self->send(core(i).loop->take_coordinator(), request_list{std::move(requests)});
  run();
  for (int wait = 0; wait <= 250; ++wait) {
    for (auto& list : received<response_list>())
      for (auto& x : list.responses) {
        if (!result.emplace(x.tag, x).second)
          throw std::runtime_error("a request was answered twice");
        --missing;
      }
    if (missing == 0)
      break;
    advance(std::chrono::milliseconds{10});
  }
  return result;
}

response local_cluster::serve_one(size_t i, request x) {
  auto tag = x.tag;
  auto all = serve(i, {std::move(x)});
  if (all.count(tag) == 0)
    throw std::runtime_error("a request was not answered within 2.5 s");
  return all[tag];
}

answer_batch local_cluster::ask_vnode(size_t i, const std::string& key, call x) {
  x.partition = partition(key);
  x.key = blob::copy_of(key);
  vnode_batch batch;
  batch.calls.push_back(std::move(x));
  batch.reply_to = caf::actor_cast<caf::strong_actor_ptr>(self);
  auto& vnodes = core(i).vnodes;
  self->send(vnodes[partition(key) % vnodes.size()], std::move(batch));
  run();
  return received<answer_batch>().at(0);
}

record local_cluster::held_by(size_t i, const std::string& key) {
  call x;
  x.what = read_call{};
  return std::get<record_answer>(ask_vnode(i, key, std::move(x)).answers.at(0).what).value;
}

void local_cluster::give(size_t i, const std::string& key, const record& value) {
  call x;
  x.what = store_call{value};
  ask_vnode(i, key, std::move(x));
}

partition_id local_cluster::partition(const std::string& key) const {
  return partition_of(key_hash(key), settings_.partitions);
}

std::vector<size_t> local_cluster::replicas(const std::string& key) {
  auto& view = *core(0).loop->view;
  std::vector<size_t> result;
  for (auto x : view.replica_places(partition(key)))
    result.push_back(index_of(view.topo.members[x].cluster_address));
  return result;
}

std::string local_cluster::key_led_by(size_t i) {
  for (int n = 0;; ++n) {
    auto key = "key" + std::to_string(n);
    if (replicas(key)[0] == i)
      return key;
  }
}

request local_cluster::read(const std::string& key, uint64_t tag) {
  request x;
  x.tag = tag;
  x.key = blob::copy_of(key);
  return x;
}

request local_cluster::write(mutation_kind kind, const std::string& key, const std::string& value,
                             uint64_t tag) {
  auto x = read(key, tag);
  x.write.emplace();
  x.write->kind = kind;
  x.write->value = blob::copy_of(value);
  x.write->delta = 1;
  return x;
}

} // namespace kai
