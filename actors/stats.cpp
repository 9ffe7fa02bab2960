#include "actors/stats.hpp"

#include <iterator>
#include <memory>
#include <optional>
#include <sstream>

#include <sys/resource.h>
#include <unistd.h>

#include "actors/client_list.hpp"
#include "actors/connection.hpp"
#include "protocol/limits.hpp"
#include "protocol/memcache/number.hpp"

namespace kai {

namespace {

using pointer = stats_actor::stateful_pointer<stats_state>;

class stat_lines {
public:
  template <class T>
  void add(const char* name, const T& value) {
    text_ += fmt::format("STAT {} {}\r\n", name, value);
  }
  std::string end() { return std::move(text_) + "END\r\n"; }

private:
  std::string text_;
};

double seconds(const timeval& x) {
  return static_cast<double>(x.tv_sec) + static_cast<double>(x.tv_usec) / 1e6;
}

void add_process(stat_lines& out, node_context& context) {
  auto now = context.wall_clock();
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  out.add("pid", ::getpid());
  out.add("uptime", (now - context.started) / 1'000'000);
  out.add("time", now / 1'000'000);
  out.add("version", memcache_version);
  out.add("pointer_size", 8 * sizeof(void*));
  out.add("rusage_user", fmt::format("{:.6f}", seconds(usage.ru_utime)));
  out.add("rusage_system", fmt::format("{:.6f}", seconds(usage.ru_stime)));
}

void add_clients(stat_lines& out, io_loop& loop) {
  auto& x = loop.count;
  out.add("max_connections", loop.context().options.memcache.max_connections);
  out.add("curr_connections", x.curr_connections);
  out.add("total_connections", x.total_connections);
  out.add("rejected_connections", x.rejected_connections);
  out.add("connection_structures", x.curr_connections);
  out.add("cmd_get", x.cmd_get);
  out.add("cmd_set", x.cmd_set);
  out.add("cmd_flush", x.cmd_flush);
  out.add("cmd_touch", x.cmd_touch);
  out.add("cmd_meta", x.cmd_meta);
  out.add("get_hits", x.get_hits);
  out.add("get_misses", x.get_misses);
  out.add("get_expired", x.get_expired);
  out.add("get_flushed", x.get_flushed);
  out.add("delete_misses", x.delete_misses);
  out.add("delete_hits", x.delete_hits);
  out.add("incr_misses", x.incr_misses);
  out.add("incr_hits", x.incr_hits);
  out.add("decr_misses", x.decr_misses);
  out.add("decr_hits", x.decr_hits);
  out.add("cas_misses", x.cas_misses);
  out.add("cas_hits", x.cas_hits);
  out.add("cas_badval", x.cas_badval);
  out.add("touch_hits", x.touch_hits);
  out.add("touch_misses", x.touch_misses);
  out.add("store_too_large", x.too_large);
  out.add("store_no_memory", x.no_memory);
  out.add("auth_cmds", x.auth_cmds);
  out.add("auth_errors", x.auth_errors);
  out.add("bytes_read", x.bytes_read);
  out.add("bytes_written", x.bytes_written);
}

void add_storage(stat_lines& out, io_loop& loop, const vnode_report& x) {
  out.add("limit_maxbytes", loop.context().options.storage.memory_limit);
  // One client too many is told so: the node never stops listening, and nobody waits for a thread.
  out.add("accepting_conns", 1);
  out.add("listen_disabled_num", 0);
  out.add("time_in_listen_disabled_us", 0);
  out.add("threads", 1);
  out.add("conn_yields", 0);
  out.add("bytes", x.bytes);
  out.add("curr_items", x.keys);
  out.add("total_items", loop.count.stored);
  out.add("evictions", x.evicted);
  out.add("reclaimed", 0);
}

void add_cluster(stat_lines& out, io_loop& loop, const vnode_report& report,
                 const sync_report& synced) {
  auto& x = loop.count;
  auto& context = loop.context();
  out.add("kai_node", context.name);
  out.add("kai_epoch", context.epoch());
  out.add("kai_members", loop.view ? loop.view->topo.members.size() : 0);
  out.add("kai_tombstones", report.tombstones);
  out.add("kai_records_damaged", report.damaged);
  out.add("kai_storage_write_failures", report.write_failures);
  out.add("kai_requests_failed", x.failed_requests);
  out.add("kai_requests_forwarded", x.forwarded);
  out.add("kai_writes_led", x.led);
  out.add("kai_writes_contended", x.contended);
  out.add("kai_writes_rewritten", x.rewrites);
  out.add("kai_requests_begun_anew", x.begun_anew);
  out.add("kai_calls", x.calls);
  out.add("kai_calls_failed", x.calls_failed);
  out.add("kai_calls_hedged", x.calls_hedged);
  out.add("kai_reads_cached", x.reads_cached);
  out.add("kai_calls_timed_out", x.calls_timed_out);
  out.add("kai_calls_refused", x.calls_refused);
  out.add("kai_suspicions", x.suspicions);
  out.add("kai_call_batches", x.batches);
  out.add("kai_read_repairs", x.read_repairs);
  out.add("kai_hints_held", report.hints.count());
  out.add("kai_hints_stored", report.hints.stored);
  out.add("kai_hints_replayed", report.hints.replayed);
  out.add("kai_hints_dropped", report.hints.dropped);
  out.add("kai_sync_rounds", synced.rounds);
  out.add("kai_sync_keys_sent", synced.keys_sent);
  out.add("kai_sync_keys_received", synced.keys_received);
  out.add("kai_partitions_recovering", synced.recovering);
  out.add("kai_tombstones_reaped", synced.reaped);
  out.add("kai_siblings_seen", x.siblings_seen);
  out.add("kai_siblings_dropped", report.siblings_dropped);
  out.add("kai_reads_paused", x.reads_paused);
  out.add("kai_reads_repeated", x.reads_repeated);
}

/// Asks every vnode; a silent one counts as empty.
void gather(pointer self, std::function<void(const vnode_report&)> done) {
  auto& st = self->state;
  auto sum = std::make_shared<std::pair<size_t, vnode_report>>(st.vnodes.size(), vnode_report{});
  auto one = [sum, done = std::move(done)] {
    if (--sum->first == 0)
      done(sum->second);
  };
  for (auto& x : st.vnodes)
    self->request(x, limits::service_deadline, report_atom::value)
        .then(
            [sum, one](const vnode_report& x) {
              sum->second += x;
              one();
            },
            [one](const caf::error&) { one(); });
}

/// Gauges stay: only what was counted starts anew.
void reset(counters& x) {
  auto open = x.curr_connections;
  x = {};
  x.curr_connections = open;
}

std::string settings(node_context& context) {
  auto& x = context.options;
  stat_lines out;
  out.add("maxbytes", x.storage.memory_limit);
  out.add("maxconns", x.memcache.max_connections);
  out.add("tcpport", x.memcache.port);
  out.add("udpport", 0);
  out.add("inter", x.memcache.address);
  out.add("evictions", x.storage.evicts() ? "on" : "off");
  out.add("domain_socket", "NULL");
  out.add("num_threads", 1);
  out.add("detail_enabled", "no");
  out.add("cas_enabled", "yes");
  out.add("binding_protocol", "auto-negotiate");
  out.add("auth_enabled_sasl", x.memcache.auth_file.empty() ? "no" : "yes");
  out.add("auth_enabled_ascii", x.memcache.auth_file.empty() ? "no" : x.memcache.auth_file);
  out.add("item_size_max", x.memcache.max_item_size);
  out.add("maxconns_fast", "yes");
  out.add("flush_enabled", "yes");
  out.add("dump_enabled", "no");
  out.add("idle_timeout", 0);
  out.add("ssl_enabled", "no");
  return out.end();
}

/// As a memcached that has one slab class for everything, in the figures that mean something here.
std::string items(const vnode_report& x) {
  stat_lines out;
  if (x.keys > 0) {
    out.add("items:1:number", x.keys);
    out.add("items:1:mem_requested", x.bytes);
    out.add("items:1:evicted", x.evicted);
  }
  return out.end();
}

std::string slabs(const vnode_report& x) {
  stat_lines out;
  if (x.keys > 0)
    out.add("1:used_chunks", x.keys);
  out.add("active_slabs", x.keys > 0 ? 1 : 0);
  out.add("total_malloced", x.bytes);
  return out.end();
}

/// Answers what memcached would over a cache without slabs, dumps and extra storage; nothing for
/// what takes asking others.
std::optional<std::string> plain_answer(pointer self, const std::vector<std::string>& words) {
  auto& st = self->state;
  auto& topic = words[0];
  if (topic == "reset") {
    reset(st.loop->count);
    return "RESET\r\n";
  }
  if (topic == "settings")
    return settings(st.loop->context());
  if (topic == "detail") {
    if (words.size() > 1 && words[1] == "dump")
      return "END\r\n";
    auto known = words.size() > 1 && (words[1] == "on" || words[1] == "off");
    return known ? "OK\r\n" : "CLIENT_ERROR usage: stats detail on|off|dump\r\n";
  }
  if (topic == "cachedump") {
    if (words.size() < 3)
      return "CLIENT_ERROR bad command line\r\n";
    auto numbers = memcache::read_unsigned(words[1]) && memcache::read_unsigned(words[2]);
    return numbers ? "END\r\n" : "CLIENT_ERROR bad command line format\r\n";
  }
  if (topic == "sizes")
    return "STAT sizes_status disabled\r\nEND\r\n";
  if (topic == "conns")
    return list_clients(*st.loop);
  if (topic == "extstore")
    return "END\r\n";
  for (auto asked : {"cluster", "items", "slabs"})
    if (topic == asked)
      return std::nullopt;
  return "ERROR\r\n";
}

caf::result<std::string> on_stats(pointer self, const std::string& argument) {
  auto& st = self->state;
  std::istringstream in{argument};
  std::vector<std::string> words{std::istream_iterator<std::string>{in}, {}};
  if (!words.empty())
    if (auto answer = plain_answer(self, words))
      return std::move(*answer);
  // From here on the answer is the promise's alone.
  auto promise = self->make_response_promise<std::string>();
  if (!words.empty() && words[0] != "cluster") {
    auto text = words[0] == "items" ? items : slabs;
    gather(self, [text, promise](const vnode_report& x) mutable { promise.deliver(text(x)); });
    return promise;
  }
  if (!words.empty()) {
    self->request(st.admin, limits::service_deadline, admin_atom::value, std::string{"stats"},
                  std::vector<std::string>{})
        .then([promise](std::string& text) mutable { promise.deliver(std::move(text)); },
              [promise](caf::error& err) mutable { promise.deliver(std::move(err)); });
    return promise;
  }
  auto with = [self, promise](const sync_report& synced) {
    gather(self, [self, promise, synced](const vnode_report& report) mutable {
      auto& loop = *self->state.loop;
      stat_lines out;
      add_process(out, loop.context());
      add_clients(out, loop);
      add_storage(out, loop, report);
      add_cluster(out, loop, report, synced);
      promise.deliver(out.end());
    });
  };
  self->request(st.sync, limits::service_deadline, report_atom::value)
      .then(with, [with](const caf::error&) { with({}); });
  return promise;
}

} // namespace

stats_actor::behavior_type stats(pointer self, io_loop_ptr loop, std::vector<vnode_actor> vnodes,
                                 admin_actor admin, sync_actor sync) {
  self->state.loop = std::move(loop);
  self->state.vnodes = std::move(vnodes);
  self->state.admin = std::move(admin);
  self->state.sync = std::move(sync);
  return {
      [self](stats_atom, const std::string& argument) { return on_stats(self, argument); },
  };
}

} // namespace kai
