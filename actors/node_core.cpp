#include "actors/node_core.hpp"

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <random>
#include <thread>

#include <caf/scoped_actor.hpp>
#include <caf/send.hpp>

#include "actors/admin.hpp"
#include "actors/gateway.hpp"
#include "actors/handoff.hpp"
#include "actors/hints.hpp"
#include "actors/membership.hpp"
#include "actors/on_loop.hpp"
#include "actors/stats.hpp"
#include "actors/sync.hpp"
#include "actors/topology_keeper.hpp"
#include "actors/vnode.hpp"
#include "protocol/limits.hpp"
#include "storage/caching_engine.hpp"
#include "storage/make_engine.hpp"

namespace kai {

namespace {

engine_hooks hooks_for(const context_ptr& context, uint32_t index) {
  engine_hooks hooks;
  hooks.log = [log = context->log, index](std::string line) {
    log.warning("vnode {}: {}", index, line);
  };
  return hooks;
}

std::shared_ptr<engine> memory_storage(const context_ptr& context, uint32_t partitions) {
  memory_engine_options options;
  options.partitions = partitions;
  options.memory_limit = context->options.storage.memory_limit;
  options.evict = context->options.storage.evicts();
  options.hooks = hooks_for(context, 0);
  return make_engine(std::move(options));
}

durable_files files_in(std::shared_ptr<open_directory> directory) {
  auto closed = [] { return failure(errc::refused, "the node's directory is closed"); };
  return {[=](const std::string& name) -> caf::expected<std::optional<std::string>> {
            std::lock_guard lock{directory->mutex};
            return directory->files ? directory->files->read_file(name) : closed();
          },
          [=](const std::string& name, const std::string& bytes) -> caf::error {
            std::lock_guard lock{directory->mutex};
            return directory->files ? directory->files->write_file(name, bytes) : closed();
          }};
}

durable_files files_in_memory(std::shared_ptr<std::map<std::string, std::string>> files) {
  if (!files)
    files = std::make_shared<std::map<std::string, std::string>>();
  return {[files](const std::string& name) -> caf::expected<std::optional<std::string>> {
            auto i = files->find(name);
            return i == files->end() ? std::nullopt : std::optional{i->second};
          },
          [files](const std::string& name, const std::string& bytes) {
            (*files)[name] = bytes;
            return caf::error{};
          }};
}

/// The directory's file that says when the node was last alive, in microseconds since 1970.
constexpr const char* alive_name = "alive";

void note_alive(const durable_files& files, node_context& context) {
  std::string bytes;
  byte_writer{bytes}.u64(context.wall_clock());
  if (auto err = files.write(alive_name, bytes))
    context.log.debug("can not note that the node is alive: {}", message_of(err));
}

/// A node that lost one of these would go on half: it stops loudly instead.
template <class Handle>
void must_live(const context_ptr& context, const Handle& x, const char* what) {
  caf::actor_cast<caf::strong_actor_ptr>(x)->get()->attach_functor(
      [log = context->log, what](const caf::error& reason) {
        using caf::exit_reason;
        if (!reason || reason == exit_reason::user_shutdown || reason == exit_reason::kill)
          return;
        log.error("the {} actor ended by a fault ({}): the node stops", what, message_of(reason));
        std::abort();
      });
}

} // namespace

void add_messages(caf::actor_system_config& config) {
  config.add_message_type<hello>("kai.hello");
  config.add_message_type<call_batch>("kai.calls");
  config.add_message_type<answer_batch>("kai.answers");
  config.add_message_type<std::vector<std::string>>("kai.words");
  config.add_error_category(
      caf::atom("kai"), [](uint8_t code, caf::atom_value, const caf::message& text) {
        return text.match_elements<std::string>() ? text.get_as<std::string>(0)
                                                  : to_string(static_cast<errc>(code));
      });
}

node_environment real_environment() {
  node_environment result;
  result.wall_clock = [] {
    auto now = std::chrono::system_clock::now().time_since_epoch();
    return static_cast<timestamp>(
        std::chrono::duration_cast<std::chrono::microseconds>(now).count());
  };
  // The I/O loop and LevelDB's compactions want cores too: on two cores a second database costs a
  // fifth of the throughput.
  result.vnodes = std::clamp(std::thread::hardware_concurrency() / 2, 1u, limits::vnodes_max);
  std::random_device random;
  result.seed = static_cast<uint64_t>(random()) << 32 | random();
  return result;
}

node_core::node_core(caf::actor_system& sys, node_options options, node_environment env)
    : system(sys), environment(std::move(env)), context(std::make_shared<node_context>()),
      random_state_(environment.seed) {
  context->options = std::move(options);
  context->wall_clock = environment.wall_clock;
  context->steady_clock = [&sys] {
    auto now = sys.clock().now().time_since_epoch();
    return static_cast<timestamp>(
        std::chrono::duration_cast<std::chrono::microseconds>(now).count());
  };
  context->started = context->wall_clock();
  context->trust_own_clock();
  loop = std::make_shared<io_loop>(system, context);
  gateway = spawn_on_loop<local_gateway_actor>(system, kai::gateway, loop);
}

node_core::~node_core() { close(); }

caf::error node_core::open(std::string name, std::string memcache_address,
                           std::string cluster_address) {
  std::mt19937_64 random{random_state_};
  context->name = std::move(name);
  context->log.rename(context->name);
  context->memcache_address = std::move(memcache_address);
  context->cluster_address = std::move(cluster_address);
  context->incarnation = random();
  context->id = random();
  if (auto err = open_storage())
    return err;
  dialer = environment.dialer;
  if (!dialer)
    dialer =
        system.spawn<caf::detached>(kai::dialer, std::chrono::milliseconds{limits::probe_connect});
  if (environment.neighbours)
    dialer_of_peers = system.spawn(neighbour_dialer, environment.neighbours, dialer);
  membership =
      system.spawn(kai::membership, loop, gateway, dialer_of_peers ? dialer_of_peers : dialer);
  topology = system.spawn(topology_keeper, context,
                          directory_ ? files_in(directory_) : files_in_memory(environment.files),
                          vnodes, dialer, membership, random());
  std::function<void()> alive;
  if (directory_)
    alive = [files = files_in(directory_), context = context] { note_alive(files, *context); };
  sync = system.spawn(kai::sync, context, vnodes, std::move(alive));
  handoff = system.spawn(kai::handoff, context, topology);
  admin = system.spawn(kai::admin, context, admin_sources{vnodes, sync, handoff, topology});
  hints = system.spawn(kai::hints, vnodes);
  stats = spawn_on_loop<stats_actor>(system, kai::stats, loop, vnodes, admin, sync);
  must_live(context, gateway, "gateway");
  must_live(context, membership, "membership");
  must_live(context, topology, "topology");
  must_live(context, admin, "admin");
  must_live(context, hints, "hints");
  must_live(context, sync, "sync");
  must_live(context, handoff, "handoff");
  must_live(context, stats, "stats");
  for (auto& x : vnodes)
    must_live(context, x, "vnode");
  caf::anon_send(membership, start_atom::value, topology, admin);
  caf::anon_send(membership, start_atom::value, view_sink{hints});
  caf::anon_send(membership, start_atom::value, view_sink{sync});
  caf::anon_send(membership, start_atom::value, view_sink{handoff});
  caf::anon_send(gateway, start_atom::value, vnodes, topology, admin);
  open_ = true;
  if (environment.neighbours)
    environment.neighbours->add(context->cluster_address, gateway_actor{gateway});
  return caf::none;
}

caf::error node_core::open_storage() {
  if (context->options.storage.engine == engine_kind::memory) {
    auto& directory = context->options.storage.directory;
    auto& env = environment.env ? *environment.env : *leveldb::Env::Default();
    if (env.FileExists(directory + "/identity"))
      context->log.warning("storage.engine=memory: the data in {} is not used", directory);
    vnodes.push_back(spawn_on_loop<vnode_actor>(
        system, vnode, context, memory_storage(context, context->options.cluster.partitions),
        engine_factory{memory_storage}, losses_ptr{}, std::shared_ptr<read_window>{}, loop));
    return caf::none;
  }
  if (context->options.storage.memory_limit != 0)
    context->log.warning("storage.memory-limit: counts with storage.engine=memory only, and does "
                         "nothing here (storage.cache bounds what is cached of the disk)");
  directory_options options;
  options.path = context->options.storage.directory;
  options.node_name = context->name;
  options.fresh_node_id = context->id;
  options.vnodes = environment.vnodes;
  options.env = environment.env;
  auto directory = node_directory::open(options);
  if (!directory)
    return directory.error();
  directory_ = std::make_shared<open_directory>();
  directory_->files = std::move(*directory);
  if (auto err = read_last_use())
    return err;
  auto& identity = directory_->files->identity();
  context->id = identity.node;
  for (uint32_t i = 0; i < identity.vnodes; ++i)
    if (auto err = add_vnode(i))
      return err;
  return caf::none;
}

caf::error node_core::read_last_use() {
  auto stored = directory_->files->read_file(alive_name);
  if (!stored)
    return stored.error();
  if (!*stored)
    return caf::none;
  byte_reader in{std::string_view{**stored}};
  context->used_until = in.u64();
  if (!in.done())
    return failure(errc::damaged,
                   "the directory's file " + std::string{alive_name} + " is damaged");
  return caf::none;
}

caf::error node_core::add_vnode(uint32_t index) {
  leveldb_engine_options options;
  options.directory = directory_->files->vnode_path(index);
  options.sync = context->options.storage.sync;
  options.env = environment.env;
  options.settle = environment.settle;
  options.hooks = hooks_for(context, index);
  auto losses = std::make_shared<engine_losses>();
  auto cache_bytes = context->options.storage.cache;
  if (cache_bytes == 0)
    cache_bytes = limits::cached_record_bytes;
  auto cache = std::make_shared<record_cache>(cache_bytes / directory_->files->identity().vnodes);
  options.hooks.lost = [losses, cache](std::optional<partition_id> partition) {
    // What the disk has lost is to come from the other replicas, and to the disk.
    cache->clear();
    if (partition)
      losses->partitions.push_back(*partition);
    else
      losses->all = true;
  };
  auto opened = make_engine(std::move(options));
  if (!opened)
    return opened.error();
  std::shared_ptr<engine> storage = std::make_shared<caching_engine>(std::move(*opened), cache);
  if (auto err = restore_clock(*storage, context->clock)) {
    if (err != errc::damaged)
      return err;
    // Nothing that was stored is above this, unless the wall clock was set back.
    std::chrono::microseconds ahead = limits::clock_bound_ahead;
    context->clock.observe(context->wall_clock() + static_cast<timestamp>(ahead.count()));
    context->log.warning("{}: the node goes on by its wall clock", message_of(err));
  }
  context->trust_own_clock();
  auto& window = context->windows.emplace_back(std::make_shared<read_window>(std::move(cache)));
  engine_factory keep;
  if (!environment.threads) {
    vnodes.push_back(system.spawn(vnode, context, storage, keep, losses, window, io_loop_ptr{}));
    return caf::none;
  }
  vnodes.push_back(
      system.spawn<caf::detached>(vnode, context, storage, keep, losses, window, io_loop_ptr{}));
  ++departures_->awaited;
  // What is attached first is called last: everybody else who watches it has been told by then.
  caf::actor_cast<caf::strong_actor_ptr>(vnodes.back())
      ->get()
      ->attach_functor([all = departures_](const caf::error&) {
        std::lock_guard lock{all->mutex};
        --all->awaited;
        all->changed.notify_all();
      });
  return caf::none;
}

void node_core::stop_dialing() {
  if (!dialer || dialer == environment.dialer)
    return;
  caf::scoped_actor self{system};
  self->monitor(dialer);
  self->send_exit(dialer, caf::exit_reason::user_shutdown);
  self->receive([](const caf::down_msg&) {},
                caf::after(caf::timespan{limits::close_deadline}) >>
                    [&] { context->log.error("a look for another node's address does not end"); });
  dialer = nullptr;
}

void node_core::close() {
  if (std::exchange(open_, false)) {
    caf::scoped_actor self{system};
    for (auto& x : vnodes)
      self->request(x, limits::close_deadline, stop_atom::value)
          .receive([](bool) {},
                   [&](const caf::error& err) {
                     context->log.error("a vnode did not stop: {}", message_of(err));
                   });
  }
  stop_dialing();
  end_actors();
  await_vnodes();
  // The topology actor may be about to write still.
  if (directory_) {
    std::lock_guard lock{directory_->mutex};
    directory_->files.reset();
  }
}

void node_core::kill() {
  open_ = false;
  for (auto& x : vnodes)
    caf::anon_send_exit(x, caf::exit_reason::kill);
  stop_dialing();
  end_actors();
  await_vnodes();
}

void node_core::await_vnodes() {
  std::unique_lock lock{departures_->mutex};
  auto gone = departures_->changed.wait_for(lock, limits::close_deadline,
                                            [this] { return departures_->awaited == 0; });
  if (!gone)
    context->log.error("{} vnodes have not ended", departures_->awaited);
}

void node_core::end_actors() {
  auto end = [](auto& x) {
    if (x)
      caf::anon_send_exit(x, caf::exit_reason::user_shutdown);
    x = nullptr;
  };
  if (environment.neighbours)
    environment.neighbours->remove(context->cluster_address);
  end(dialer_of_peers);
  end(membership);
  end(topology);
  end(admin);
  end(sync);
  end(handoff);
  end(hints);
  end(stats);
  end(gateway);
  for (auto& x : vnodes)
    end(x);
  vnodes.clear();
  // The pool is the loop's own: another thread must not touch it while batches of other nodes come.
  if (auto* thread = loop_of(system))
    thread->post([pool = loop] { pool->end_pool(); });
  else
    loop->end_pool();
}

} // namespace kai
