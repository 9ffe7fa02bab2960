#include "actors/node.hpp"

#include <charconv>
#include <fstream>
#include <optional>
#include <sstream>
#include <thread>

#include <caf/event_based_actor.hpp>
#include <caf/io/middleman.hpp>
#include <caf/scoped_actor.hpp>
#include <caf/send.hpp>

#include "actors/acceptor.hpp"
#include "actors/shared_port.hpp"
#include "actors/topology_keeper.hpp"
#include "protocol/limits.hpp"

namespace kai {

namespace {

/// How often, and at what intervals, a node that starts looks whether the others are connected.
constexpr int await_peers_rounds = 40;
constexpr std::chrono::milliseconds await_peers_interval{50};

bool is_number(const std::string& text) {
  double number = 0;
  auto end = text.data() + text.size();
  auto [read_to, error] = std::from_chars(text.data(), end, number);
  return error == std::errc{} && read_to == end;
}

/// Lines of `stats` as Prometheus text: every number, under memcached's name or kai's. What is a
/// name may look like a number.
std::string to_prometheus(const std::string& stats) {
  std::istringstream in{stats};
  std::string out;
  std::string word;
  std::string name;
  std::string value;
  while (in >> word && word == "STAT" && in >> name && std::getline(in >> std::ws, value)) {
    if (!value.empty() && value.back() == '\r')
      value.pop_back();
    if (name == "version" || name == "kai_node" || !is_number(value))
      continue;
    if (name.rfind("kai_", 0) != 0)
      name = "kai_memcache_" + name;
    out += "# TYPE " + name + " untyped\n" + name + ' ' + value + '\n';
  }
  return out;
}

} // namespace

caf::error cannot_listen(const std::string& group, const std::string& address, uint16_t port,
                         const caf::error& err) {
  // CAF does not say why.
  auto why = why_not_bound(address, port).value_or(bind_obstacle{message_of(err), true});
  return failure(errc::bad_configuration,
                 group + (why.of_port ? ".port" : ".address") + ": cannot listen on " +
                     to_host_port(address, port) + ": " + why.text +
                     (why.of_port ? "; choose another port, or 0 for any free one"
                                  : "; choose an address of this host"));
}

node::node(caf::actor_system& sys, node_options options, node_environment environment)
    : core_(sys, std::move(options), std::move(environment)) {}

node::~node() { stop(); }

void node::interrupt() {
  std::lock_guard lock{mutex_};
  stopping_ = true;
  changed_.notify_all();
}

caf::expected<node::endpoints> node::start() {
  if (auto err = core_.context->options.validate())
    return err;
  if (auto err = load_credentials())
    return err;
  if (auto err = bind())
    return err;
  if (auto err = join())
    return err;
  await_peers();
  if (left())
    return no_longer_a_member(core_.context->options.storage.directory);
  caf::anon_send(acceptor_, start_atom::value);
  std::lock_guard lock{mutex_};
  if (stopping_)
    return failure(errc::refused, "stopped while starting");
  serving_ = true;
  return endpoints_;
}

caf::error node::load_credentials() {
  auto& path = core_.context->options.memcache.auth_file;
  if (path.empty())
    return caf::none;
  std::ifstream in{path};
  std::stringstream text;
  text << in.rdbuf();
  if (!in)
    return failure(errc::bad_configuration, "memcache.auth-file: cannot read " + path);
  auto parsed = memcache::credentials::parse(text.str());
  if (!parsed)
    return failure(errc::bad_configuration,
                   "memcache.auth-file: " + path + ": " + message_of(parsed.error()));
  caf::anon_send(core_.gateway, std::make_shared<const memcache::credentials>(std::move(*parsed)));
  return caf::none;
}

void node::reload() {
  auto& log = core_.context->log;
  if (auto err = load_credentials())
    log.error("{}; the old users stay", message_of(err));
  else if (!core_.context->options.memcache.auth_file.empty())
    log.info("read {} again", core_.context->options.memcache.auth_file);
}

/// All ports before it joins, so that one that is not to be had leaves nothing behind. The cluster
/// port first: the node may be named after it. Clients wait in the listening socket's queue until
/// the node is a member; over HTTP it says that it is starting.
caf::error node::bind() {
  auto& options = core_.context->options;
  auto& sys = core_.system;
  auto published = sys.middleman().publish(gateway_actor{core_.gateway}, options.cluster.port,
                                           options.cluster.address.c_str(), true);
  if (!published)
    return cannot_listen("cluster", options.cluster.address, options.cluster.port,
                         published.error());
  cluster_port_ = *published;
  endpoints_.cluster = to_host_port(options.cluster.address, *published);
  endpoints_.name = options.node.name.empty() ? endpoints_.cluster : options.node.name;
  if (auto err = listen_for_clients())
    return err;
  if (auto err = start_http())
    return err;
  if (auto err = core_.open(endpoints_.name, endpoints_.memcache, endpoints_.cluster))
    return err;
  caf::anon_send(acceptor_, client_services{core_.topology, core_.stats});
  std::lock_guard lock{mutex_};
  bound_ = true;
  return caf::none;
}

caf::error node::listen_for_clients() {
  auto& options = core_.context->options.memcache;
  auto& shared = core_.environment.clients;
  auto seats = shared ? shared->seats : std::make_shared<client_seats>(options.max_connections);
  acceptor_ = core_.system.middleman().spawn_broker(acceptor, core_.loop, seats);
  caf::scoped_actor self{core_.system};
  caf::error failed;
  auto bound = [&](uint16_t port) { endpoints_.memcache = to_host_port(options.address, port); };
  auto refused = [&](caf::error& err) {
    failed = cannot_listen("memcache", options.address, options.port, err);
  };
  if (shared)
    self->request(acceptor_, caf::infinite, start_atom::value, shared->socket)
        .receive(bound, refused);
  else
    self->request(acceptor_, caf::infinite, start_atom::value, options.address, options.port)
        .receive(bound, refused);
  return failed;
}

std::string node::cluster_address() {
  std::lock_guard lock{mutex_};
  return bound_ ? endpoints_.cluster : std::string{};
}

caf::error node::join() {
  std::optional<caf::error> outcome;
  auto report = [this, &outcome](caf::error err) {
    std::lock_guard lock{mutex_};
    outcome = std::move(err);
    changed_.notify_all();
  };
  auto wait = [report](caf::event_based_actor* self, const topology_actor& topology) {
    self->request(topology, caf::infinite, start_atom::value)
        .then([report](bool) { report(caf::none); },
              [report](caf::error& err) { report(std::move(err)); });
  };
  auto waiting = core_.system.spawn(wait, core_.topology);
  std::unique_lock lock{mutex_};
  changed_.wait(lock, [&] { return outcome || stopping_; });
  auto result = outcome ? *outcome : failure(errc::refused, "stopped while joining");
  lock.unlock();
  // It refers to this frame: gone before that is.
  caf::scoped_actor self{core_.system};
  self->send_exit(waiting, caf::exit_reason::kill);
  self->wait_for(waiting);
  return result;
}

/// A client that comes at the ready line shall find the other members connected, replicas whose
/// answers count, and a cluster without data complete. What takes longer, a member that is down or
/// a disk that is refilled or filled, is not waited for. Found so twice: what the first greetings
/// tell of, as that this node was removed, has come then.
void node::await_peers() {
  auto times = 0;
  caf::scoped_actor self{core_.system};
  for (int i = 0; i < await_peers_rounds && times < 2; ++i) {
    auto connected = false;
    self->request(core_.admin, limits::service_deadline, admin_atom::value, std::string{"status"},
                  std::vector<std::string>{})
        .receive(
            [&](const std::string& status) {
              connected = status.find("\"state\":\"down\"") == std::string::npos &&
                          status.find("\"state\":\"joining\"") == std::string::npos &&
                          status.find("\"state\":\"recovering\"") == std::string::npos;
            },
            [](const caf::error&) {});
    times = connected ? times + 1 : 0;
    std::unique_lock lock{mutex_};
    if (stopping_ || left())
      return;
    if (times < 2)
      changed_.wait_for(lock, await_peers_interval);
  }
}

caf::error node::start_http() {
  auto& options = core_.context->options.admin;
  endpoints_.admin = "-";
  if (!options.port)
    return caf::none;
  auto started = admin_http::start(options.address, *options.port,
                                   [this](std::string command) { return http_content(command); });
  if (!started)
    return started.error();
  http_ = std::move(*started);
  endpoints_.admin = http_->endpoint();
  return caf::none;
}

caf::expected<std::string> node::http_content(const std::string& command) {
  {
    std::lock_guard lock{mutex_};
    auto healthz = command == "healthz";
    if (healthz && serving_ && !stopping_)
      return std::string{"ok"};
    if (healthz || !bound_)
      return failure(errc::refused, stopping_ ? "stopping" : "starting");
  }
  caf::expected<std::string> result{failure(errc::timed_out, "the node did not answer in time")};
  auto take = [&](std::string& text) { result = std::move(text); };
  auto fail = [&](caf::error& err) { result = std::move(err); };
  caf::scoped_actor self{core_.system};
  if (command == "metrics") {
    self->request(core_.stats, limits::service_deadline, stats_atom::value, std::string{})
        .receive(take, fail);
    if (result)
      return to_prometheus(*result);
    return result;
  }
  self->request(core_.admin, limits::service_deadline, admin_atom::value, command,
                std::vector<std::string>{})
      .receive(take, fail);
  return result;
}

void node::stop() {
  interrupt();
  if (std::exchange(stopped_, true))
    return;
  http_.reset();
  if (acceptor_) {
    // Ends with its last connection.
    caf::scoped_actor self{core_.system};
    self->monitor(acceptor_);
    self->send(acceptor_, stop_atom::value);
    self->receive([](const caf::down_msg&) {},
                  caf::after(caf::timespan{limits::acceptor_deadline}) >> [] {});
    self->send_exit(acceptor_, caf::exit_reason::kill);
    acceptor_ = nullptr;
  }
  // Others may still wait for what it leads, or not know yet that it is out.
  if (left())
    std::this_thread::sleep_for(limits::out_after);
  // In this order: the broker has read all requests to connect when it has unpublished.
  core_.stop_dialing();
  if (cluster_port_ != 0)
    core_.system.middleman().unpublish(core_.gateway, cluster_port_);
  core_.close();
}

} // namespace kai
