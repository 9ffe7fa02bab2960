#include "apps/cluster_client.hpp"

#include <algorithm>
#include <chrono>
#include <map>

#include <caf/actor_system.hpp>
#include <caf/io/middleman.hpp>
#include <caf/scoped_actor.hpp>
#include <nlohmann/json.hpp>

#include "actors/interfaces.hpp"
#include "apps/admin_client.hpp"
#include "apps/system_config.hpp"
#include "protocol/topology_messages.hpp"

namespace kai {

namespace {

using clock_type = std::chrono::steady_clock;

timestamp wall_clock() {
  auto now = std::chrono::system_clock::now().time_since_epoch();
  return static_cast<timestamp>(std::chrono::duration_cast<std::chrono::microseconds>(now).count());
}

} // namespace

class cluster_client::impl {
public:
  impl(host_port node, caf::timespan patience)
      : node_(node), patience_(patience), admin_(std::move(node)) {}

  caf::error refresh() {
    auto status = admin_.ask("status", {}, patience_);
    if (!status)
      return status.error();
    auto first = connect(node_);
    if (!first)
      return first.error();
    if (auto err = read_topology(*first))
      return err;
    read_states(*status);
    gateways_.assign(current.members.size(), nullptr);
    for (size_t i = 0; i < current.members.size(); ++i) {
      auto at = parse_host_port(current.members[i].cluster_address);
      if (up_[i] && at)
        if (auto found = connect(*at))
          gateways_[i] = *found;
    }
    return caf::none;
  }

  bool reaches(member_index x) const { return gateways_[x] != nullptr; }
  bool is_up(member_index x) const { return up_[x]; }

  std::vector<answer> ask(calls_to calls) {
    std::vector<answer> result(calls.size());
    for (auto& x : result)
      x.what = failed_answer{errc::timed_out, false, "no answer in time"};
    std::map<member_index, call_batch> batches;
    waiting_.clear();
    for (size_t i = 0; i < calls.size(); ++i) {
      auto& [to, x] = calls[i];
      if (!gateways_[to]) {
        result[i].what = failed_answer{errc::peer_down, true, "it can not be reached"};
        continue;
      }
      x.id = next_id_ + i;
      if (x.partition < current.changed_at.size())
        x.changed_at = current.changed_at[x.partition];
      batches[to].calls.push_back(std::move(x));
      waiting_.emplace(i, to);
    }
    for (auto& [to, batch] : batches) {
      clock_ = std::max(clock_, wall_clock());
      batch.header = {clock_, current.epoch};
      self_->send(caf::actor_cast<gateway_actor>(gateways_[to]), std::move(batch));
    }
    collect(result);
    // Who was silent so long is not waited for again before the next look at the cluster.
    for (auto& [i, to] : waiting_)
      gateways_[to] = nullptr;
    next_id_ += calls.size();
    return result;
  }

  topology current;
  timestamp heard_clock = 0;

private:
  caf::expected<caf::strong_actor_ptr> connect(const host_port& at) {
    auto found = system_.middleman().remote_actor<gateway_actor>(at.host, at.port);
    if (!found)
      return failure(errc::peer_down, "cannot reach " + to_host_port(at.host, at.port));
    // What its calls and answers look like depends on its version.
    hello words;
    words.protocol = protocol_version;
    words.name = "kai-admin";
    words.header.clock = std::max(clock_, wall_clock());
    caf::error refused;
    self_->request(*found, patience_, hello_atom::value, words)
        .receive([](const hello&) {}, [&](caf::error& err) { refused = std::move(err); });
    if (refused)
      return refused;
    self_->monitor(*found);
    return caf::actor_cast<caf::strong_actor_ptr>(*found);
  }

  caf::error read_topology(const caf::strong_actor_ptr& gateway) {
    topology_request get;
    current = {};
    up_.assign(1, true);
    gateways_.assign(1, gateway);
    call x;
    x.what = service_call{"topology", encode_text(get)};
    auto answers = ask({{0, std::move(x)}});
    auto text = std::get_if<text_answer>(&answers[0].what);
    if (!text)
      return failure(errc::refused, "the node does not tell its topology");
    auto reply = decode_topology_reply(text->text);
    if (!reply)
      return reply.error();
    if (reply->newer.size() == 0)
      return failure(errc::not_a_member, "the node is no member of a cluster yet");
    auto decoded = decode_topology_blob(reply->newer);
    if (!decoded)
      return decoded.error();
    current = std::move(*decoded);
    return caf::none;
  }

  void read_states(const std::string& status) {
    up_.assign(current.members.size(), false);
    auto document = nlohmann::json::parse(status, nullptr, false);
    if (!document.is_object() || !document["members"].is_array())
      return;
    for (auto& x : document["members"])
      if (auto found = current.find(x.value("name", "")); found)
        up_[static_cast<size_t>(found - current.members.data())] =
            x.value("state", "") != "down" && x.value("state", "") != "recovering";
  }

  void collect(std::vector<answer>& result) {
    auto deadline = clock_type::now() + patience_;
    while (!waiting_.empty()) {
      auto left =
          std::chrono::duration_cast<std::chrono::nanoseconds>(deadline - clock_type::now());
      if (left.count() <= 0)
        return;
      self_->receive(
          [&](answer_batch& batch) {
            heard_clock = std::max(heard_clock, batch.header.clock);
            clock_ = std::max(clock_, heard_clock);
            for (auto& x : batch.answers)
              if (waiting_.erase(x.id - next_id_) > 0)
                result[x.id - next_id_].what = std::move(x.what);
          },
          [&](const caf::down_msg& x) { lose(x.source, result); },
          caf::after(caf::timespan{left}) >> [] {});
    }
  }

  /// The connection to a node is gone: nothing comes from it any more.
  void lose(const caf::actor_addr& gateway, std::vector<answer>& result) {
    for (size_t to = 0; to < gateways_.size(); ++to) {
      if (!gateways_[to] || caf::actor_cast<caf::actor_addr>(gateways_[to]) != gateway)
        continue;
      gateways_[to] = nullptr;
      std::erase_if(waiting_, [&](auto& x) {
        if (x.second == to)
          result[x.first].what = failed_answer{errc::peer_down, false, "the connection broke"};
        return x.second == to;
      });
    }
  }

  host_port node_;
  caf::timespan patience_;
  admin_client admin_;
  system_config config_;
  caf::actor_system system_{config_};
  caf::scoped_actor self_{system_};
  std::vector<caf::strong_actor_ptr> gateways_;
  std::vector<bool> up_;
  timestamp clock_ = 0;
  /// Calls that are not answered yet, by position, and whom they went to.
  std::map<uint64_t, member_index> waiting_;
  /// Of late answers nobody waits for any more.
  uint64_t next_id_ = 1;
};

cluster_client::cluster_client(host_port node, caf::timespan patience)
    : impl_(std::make_unique<impl>(std::move(node), patience)) {}

cluster_client::~cluster_client() = default;

caf::error cluster_client::refresh() { return impl_->refresh(); }
const topology& cluster_client::current() const { return impl_->current; }
bool cluster_client::reaches(member_index x) const { return impl_->reaches(x); }
bool cluster_client::is_up(member_index x) const { return impl_->is_up(x); }
timestamp cluster_client::clock() const { return impl_->heard_clock; }
std::vector<answer> cluster_client::ask(calls_to calls) { return impl_->ask(std::move(calls)); }

} // namespace kai
