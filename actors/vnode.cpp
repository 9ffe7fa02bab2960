// long: every call that a vnode carries out, and the one write they share
#include "actors/vnode.hpp"

#include <algorithm>

#include "actors/process_pulse.hpp"
#include "actors/vnode_upkeep.hpp"
#include "protocol/limits.hpp"

namespace kai {

namespace {

using pointer = vnode_actor::stateful_pointer<vnode_state>;
using work = vnode_state::work;

constexpr const char* clock_bound_name = "clock-bound";

/// Reads and decides on what is stored, overlaid with what the batch at hand has written.
class batch_run {
public:
  explicit batch_run(vnode_state& st) : st_(st) {}

  void run(work& w) {
    auto& answers = w.answers.answers;
    answers.reserve(w.calls.size());
    expect(w.calls);
    for (auto& x : w.calls) {
      depends_ = false;
      auto carry = [&](auto& what) { return carry_out(x, what); };
      answers.push_back({x.id, std::visit(carry, x.what)});
      if (depends_)
        w.depend_on_write.push_back(answers.size() - 1);
    }
  }

private:
  using answer_body = decltype(answer::what);

  void expect(const std::vector<call>& calls) {
    if (calls.size() < 2)
      return;
    hashes_.clear();
    for (auto& x : calls)
      hashes_.push_back(key_hash(x.key.view()));
    st_.storage->expect(hashes_);
  }

  answer_body carry_out(const call& x, const read_call& what) {
    if (what.digest_only) {
      auto digest = find_digest(x);
      if (!digest)
        return failed(digest.error());
      return digest_answer{*digest, st_.caught_up(x.partition)};
    }
    auto found = find(x);
    if (!found)
      return failed(found.error());
    return record_answer{std::move(*found), st_.caught_up(x.partition)};
  }

  answer_body carry_out(const call& x, store_call& what) {
    auto found = find_or_lost(x);
    if (!found)
      return failed(found.error());
    auto merged = merge(*found, what.value, &st_.siblings_dropped);
    auto held = held_version(x.key);
    if (held && holds(what.value, held->versions[0].written)) {
      st_.held.erase(x.key);
      held = nullptr;
    }
    record with_held;
    if (held)
      with_held = merge(merged, *held);
    auto& all = held ? with_held : merged;
    // What was found to have happened already may have siblings, which its leader knows.
    if (what.sole && !what.value.versions.empty() &&
        all.versions.size() > what.value.versions.size() &&
        holds(all, what.value.versions[0].written))
      return failed_answer{errc::contended, true, "another leader has written the key meanwhile"};
    stored_answer result;
    result.shadowed_by = shadowed_by(all, what.value);
    auto ours = latest(what.value);
    result.replaced = ours && !holds(merged, ours->written);
    if (merged.versions.size() > what.value.versions.size())
      result.siblings = std::make_shared<const record>(outline_of(merged));
    if (merged != *found)
      put(x, std::move(merged), *found);
    return result;
  }

  answer_body carry_out(const call& x, apply_call& what) {
    auto found = what.stand_in ? record{} : find_or_lost(x);
    if (!found)
      return failed(found.error());
    auto current = *found;
    if (what.conditional) {
      current = merge(current, what.base);
      if (digest_of(x.key.view(), current) != digest_of(x.key.view(), what.base))
        return failed_answer{errc::contended, true, "the key changed meanwhile"};
    }
    // A blind write comes after a decision that is on its way; a decision was not made while
    // another one of this node is.
    if (auto held = held_version(x.key); held && !what.conditional)
      current = merge(current, *held);
    if (what.tried) {
      auto end = end_of(*what.tried, current);
      if (end == attempt_end::unknown)
        return failed_answer{errc::quorum_failed, false,
                             "the lists of the key's replicas changed, and others have written it"};
      if (end == attempt_end::happened)
        return happened(x, what, std::move(current), *found);
      std::erase_if(current.versions,
                    [&](const version& v) { return v.written == what.tried->written; });
    }
    // The dot first: whatever mark lies below it is known by now (topology_keeper's flush_all), and
    // is what the decision goes by.
    auto stamp = st_.context->issue();
    if (what.until != 0 && stamp > what.until)
      return failed_answer{errc::timed_out, true, "the write came too late"};
    auto& options = st_.context->options;
    circumstances around{st_.context->wall_clock(), st_.context->flushed_at(stamp),
                         options.memcache.max_item_size};
    auto decided =
        what.conditional ? decide(what.what, current, around) : decide_blindly(what.what);
    auto changes = decided.next.has_value();
    if (!changes && what.tried)
      write_anyway(decided, current, around);
    applied_answer result;
    result.result = std::move(decided.answer);
    if (!decided.next)
      return result;
    if (auto err = allow(stamp))
      return failed(err);
    decided.next->written = {st_.context->id, stamp};
    if (auto previous = latest(current))
      result.base = previous->written;
    if (what.tried)
      note_seen(current.seen, what.tried->written);
    overwrite(current, std::move(*decided.next));
    if (changes)
      result.result.cas = cas_unique(current);
    result.value = current;
    if (what.hold)
      st_.held[x.key] = {std::move(current), around.now};
    else if (!what.stand_in)
      put(x, std::move(current), *found);
    return result;
  }

  answer_body carry_out(const call& x, const release_call& what) {
    auto held = held_version(x.key);
    if (held && holds(*held, what.written))
      st_.held.erase(x.key);
    return stored_answer{};
  }

  const record* held_version(const blob& key) const {
    if (st_.held.empty())
      return nullptr;
    auto i = st_.held.find(key);
    return i == st_.held.end() ? nullptr : &i->second.value;
  }

  /// The write was decided before, and is part of what R replicas hold: it has only to be at W.
  answer_body happened(const call& x, const apply_call& what, record current, const record& found) {
    applied_answer result{what.tried->result, current, what.tried->base};
    if (!what.stand_in && current != found)
      put(x, std::move(current), found);
    return result;
  }

  answer_body carry_out(const call& x, hint_call& what) {
    if (!st_.context->takes_hints)
      return failed_answer{errc::refused, true, "this node leaves, and takes no hints any more"};
    depends_ = true;
    auto now = st_.context->wall_clock();
    hint kept{x.partition, x.key, std::move(what.target), std::move(what.value)};
    if (auto err = st_.hints.keep(*st_.storage, std::move(kept), now))
      return failed(err);
    return stored_answer{};
  }

  answer_body carry_out(const call&, const lead_call&) { return misplaced(); }
  answer_body carry_out(const call&, const service_call&) { return misplaced(); }

  answer_body carry_out(const call& x, const tree_call& what) {
    if (st_.evicts())
      return no_tree();
    auto tree = st_.trees.find(x.partition);
    if (!tree)
      return failed_answer{errc::storage_failed, true, "the partition's tree can not be made now"};
    tree_answer result;
    if (tree->root() != what.root)
      result.leaves = tree->leaves();
    return result;
  }

  answer_body carry_out(const call& x, const leaf_call& what) {
    if (st_.evicts() || what.leaf >= merkle_tree::leaf_count)
      return no_tree();
    auto found = read_leaf(*st_.storage, x.partition, what.leaf, st_.trees.partitions(),
                           st_.context->flushed());
    return found ? answer_body{std::move(*found)} : failed(found.error());
  }

  answer_body carry_out(const call& x, const drop_call& what) {
    drop_answer result;
    write_batch batch;
    auto look = [&](uint64_t hash, const blob& key, record&& value) {
      if (result.dropped >= limits::dropped_at_once && hash != result.next) {
        result.more = true;
        result.next = hash;
        return false;
      }
      result.next = hash;
      ++result.dropped;
      batch.remove(x.partition, area::data, key, footprint_of(key.view(), value));
      return true;
    };
    st_.trees.forget(x.partition);
    if (auto err = st_.storage->scan(x.partition, area::data, what.from, look))
      return failed(err);
    if (!batch.empty())
      if (auto err = st_.storage->write(batch))
        return failed(err);
    return result;
  }

  static answer_body no_tree() {
    return failed_answer{errc::refused, true, "a node that evicts keeps no Merkle trees"};
  }

  static answer_body misplaced() {
    return failed_answer{errc::malformed, true, "no call for a vnode"};
  }

  static answer_body failed(const caf::error& err) {
    auto reason =
        err.category() == caf::atom("kai") ? static_cast<errc>(err.code()) : errc::storage_failed;
    // A failed write of LevelDB may still show after a crash.
    return failed_answer{reason, reason != errc::storage_failed, message_of(err)};
  }

  caf::expected<record> find(const call& x) {
    if (auto written = find_written(x))
      return *written;
    auto found = st_.storage->read(x.partition, area::data, x.key.view());
    if (!found)
      return std::move(found.error());
    return *found ? std::move(**found) : record{};
  }

  caf::expected<uint64_t> find_digest(const call& x) {
    if (auto written = find_written(x))
      return digest_of(x.key.view(), *written);
    return st_.storage->digest(x.partition, area::data, x.key.view());
  }

  /// What the batch at hand will write; null: nothing of this key.
  const record* find_written(const call& x) {
    if (st_.writes.empty())
      return nullptr;
    auto i = st_.writes.find(x.key);
    if (i == st_.writes.end())
      return nullptr;
    depends_ = true;
    return &i->second.value;
  }

  /// For writes: a damaged record is lost here (note_losses), and replaced by what comes.
  caf::expected<record> find_or_lost(const call& x) {
    auto result = find(x);
    if (!result && result.error() == errc::damaged)
      return record{};
    return result;
  }

  void put(const call& x, record value, const record& replaced) {
    depends_ = true;
    auto [i, first] = st_.writes.try_emplace(x.key);
    if (first) {
      i->second.replaced = footprint_of(x.key.view(), replaced);
      i->second.partition = x.partition;
      if (st_.trees.has(x.partition))
        i->second.replaced_digest = digest_of(x.key.view(), replaced);
    }
    i->second.value = std::move(value);
  }

  /// Dots lie below a bound that is on disk: over a restart the clock never runs back.
  caf::error allow(timestamp stamp) {
    if (stamp >= st_.clock_bound) {
      auto bound = clock_bound_above(stamp, st_.context->wall_clock());
      std::string bytes;
      byte_writer{bytes}.u64(bound);
      if (auto err = st_.storage->write_meta(clock_bound_name, bytes))
        return err;
      st_.clock_bound = bound;
    }
    return caf::none;
  }

  vnode_state& st_;
  bool depends_ = false;
  std::vector<uint64_t> hashes_;
};

/// What the engine lost since: its trees are wrong, and so are the tallies of hints. Where
/// everything went, the node knows nothing of its partitions, and the clock's bound is on no disk.
void note_losses(vnode_state& st) {
  if (!st.losses || (!st.losses->all && st.losses->partitions.empty()))
    return;
  auto lost = std::exchange(*st.losses, {});
  st.hints.count_again();
  if (lost.all) {
    st.clock_bound = 0;
    st.trees.forget(std::nullopt);
    st.fall_behind();
  }
  for (auto x : lost.partitions)
    st.trees.forget(x);
  // A write may replace what was lost by something older.
  st.fall_behind(lost.partitions, st.context->now());
}

caf::result<partition_list> behind_partitions(const vnode_state& st) {
  if (st.behind.empty())
    return failure(errc::not_a_member, "the vnode does not know the partitions yet");
  partition_list result;
  for (size_t i = 0; i < st.behind.size(); ++i)
    if (st.behind[i] != 0)
      result.push_back(static_cast<partition_id>(i));
  return result;
}

/// While a handler is at work. Between two of them no more than a tick passes, unless the whole
/// process was stopped: others may have written meanwhile, so what is here proves nothing. The sync
/// actor finds that out too, but a read that waited in the socket would be answered before.
class at_work {
public:
  explicit at_work(pointer self) : self_(self), began_(now()) {
    auto& st = self_->state;
    if (began_ - st.idle_since > limits::probe_timeout)
      st.fall_behind();
  }
  at_work(const at_work&) = delete;
  at_work& operator=(const at_work&) = delete;
  ~at_work() {
    auto& st = self_->state;
    st.idle_since = began_;
    if (!st.window)
      return;
    // What a disk is asked for may take as long as a stop, and is none; but the process may have
    // been stopped meanwhile.
    st.idle_since = now();
    if (st.idle_since - began_ > limits::probe_timeout && pulse().missed(began_, st.idle_since))
      st.fall_behind();
    st.window->alive(st.idle_since);
  }

private:
  caf::actor_clock::time_point now() const { return self_->home_system().clock().now(); }

  pointer self_;
  caf::actor_clock::time_point began_;
};

/// Carries out the writes of a run, and tells which did not come about.
class shared_write {
public:
  /// Writes all at once. What does not fit must not take the rest along, deletes among it: then
  /// each by itself.
  explicit shared_write(vnode_state& st) : st_(st) {
    if (st.writes.empty() && !st.hints.changed())
      return;
    write_batch batch;
    for (auto& [key, x] : st.writes)
      add(batch, key, x);
    st.hints.add_to(batch);
    all_ = st.storage->write(batch);
    if (all_ == errc::out_of_memory && st.writes.size() + st.hints.changed() > 1)
      write_singly();
    else
      st.hints.written(!all_);
  }

  /// Why what the call's answer depends on was not written; none: it was.
  const caf::error& failure_of(const call& x) const {
    return std::holds_alternative<hint_call>(x.what) && hints_ ? hints_ : failure_of(x.key);
  }
  const caf::error& failure_of(const blob& key) const {
    if (keys_.empty())
      return all_;
    auto i = keys_.find(key);
    return i != keys_.end() ? i->second : all_;
  }

private:
  static void add(write_batch& batch, const blob& key, const vnode_state::pending_write& x) {
    batch.put(x.partition, area::data, key, x.value, x.replaced);
  }

  void write_singly() {
    all_ = caf::none;
    if (st_.hints.changed()) {
      write_batch batch;
      st_.hints.add_to(batch);
      hints_ = st_.storage->write(batch);
      st_.hints.written(!hints_);
    }
    for (auto& [key, x] : st_.writes) {
      write_batch batch;
      add(batch, key, x);
      if (auto err = st_.storage->write(batch))
        keys_.emplace(key, std::move(err));
    }
  }

  vnode_state& st_;
  caf::error all_;
  caf::error hints_;
  std::unordered_map<blob, caf::error, vnode_state::key_hasher> keys_;
};

/// Carries out everything that waits, with one write of the engine.
void run_all(pointer self) {
  at_work here{self};
  auto& st = self->state;
  st.flush_due = false;
  auto all = std::exchange(st.waiting, {});
  batch_run run{st};
  for (auto& w : all)
    run.run(w);
  shared_write written{st};
  for (auto& [key, x] : st.writes)
    if (st.trees.has(x.partition) && !written.failure_of(key))
      st.trees.change(x.partition, key.view(), x.replaced_digest, digest_of(key.view(), x.value));
  st.writes.clear();
  batch_header header{st.context->now(), st.context->epoch()};
  for (auto& w : all) {
    for (auto i : w.depend_on_write)
      if (auto& err = written.failure_of(w.calls[i])) {
        auto reason = err == errc::out_of_memory ? errc::out_of_memory : errc::storage_failed;
        ++st.write_failures;
        w.answers.answers[i].what =
            failed_answer{reason, reason == errc::out_of_memory, message_of(err)};
      }
    w.answers.header = header;
    if (st.loop)
      send_answers(self, *st.loop, w.reply_to, std::move(w.answers));
    else
      send_answers(self, w.reply_to, std::move(w.answers));
  }
  note_losses(st);
}

/// Whoever decided has long answered the client.
void drop_old_decisions(vnode_state& st) {
  auto longest = limits::request_deadline + 2 * limits::large_value_extra_max;
  auto most = std::chrono::duration_cast<std::chrono::microseconds>(longest);
  auto now = st.context->wall_clock();
  std::erase_if(st.held, [&](auto& x) {
    return now > x.second.since + static_cast<timestamp>(most.count());
  });
}

/// The first call of `x` for a tree that is not there.
const call* without_tree(const vnode_state& st, const work& x) {
  auto found = std::find_if(x.calls.begin(), x.calls.end(), [&](const call& y) {
    return std::holds_alternative<tree_call>(y.what) && !st.trees.has(y.partition);
  });
  return found != x.calls.end() && !st.evicts() ? &*found : nullptr;
}

void flush_later(pointer self) {
  if (!std::exchange(self->state.flush_due, true))
    self->send(self, flush_batch_atom::value);
}

void accept(pointer self, vnode_batch& batch) {
  auto& st = self->state;
  work x{std::move(batch.calls), std::move(batch.reply_to), {}, {}};
  if (!without_tree(st, x)) {
    st.waiting.push_back(std::move(x));
    return;
  }
  st.awaiting_trees.push_back(std::move(x));
  if (st.awaiting_trees.size() == 1)
    self->send(self, make_tree_atom::value);
}

/// What waits, and what the loop has gathered.
void take_all(pointer self) {
  if (auto& loop = self->state.loop)
    for (auto& x : loop->take_calls())
      accept(self, x);
  run_all(self);
}

/// Makes one tree of those that are waited for. Between two writes: it is of what is stored.
void make_tree(pointer self) {
  at_work here{self};
  auto& st = self->state;
  if (st.awaiting_trees.empty())
    return;
  auto& first = st.awaiting_trees.front();
  auto ready = true;
  if (auto x = without_tree(st, first)) {
    auto err = st.trees.make(*st.storage, x->partition);
    // Where that fails the call is answered so.
    ready = err || !without_tree(st, first);
  }
  if (ready) {
    st.waiting.push_back(std::move(first));
    st.awaiting_trees.pop_front();
    flush_later(self);
  }
  if (!st.awaiting_trees.empty())
    self->send(self, make_tree_atom::value);
}

vnode_report report(const vnode_state& st) {
  auto x = st.storage->stats();
  return {x.keys,
          x.tombstones,
          x.bytes,
          x.damaged,
          x.evicted,
          st.write_failures,
          st.siblings_dropped,
          st.hints.report()};
}

} // namespace

vnode_actor::behavior_type vnode(pointer self, context_ptr context, std::shared_ptr<engine> storage,
                                 engine_factory remake, losses_ptr losses,
                                 std::shared_ptr<read_window> window, io_loop_ptr loop) {
  auto& st = self->state;
  st.context = std::move(context);
  st.storage = std::move(storage);
  st.remake = std::move(remake);
  st.losses = std::move(losses);
  st.window = std::move(window);
  st.loop = std::move(loop);
  note_losses(st);
  if (st.context->options.storage.engine == engine_kind::memory)
    st.clock_bound = UINT64_MAX;
  hint_limits for_hints;
  auto& options = st.context->options.storage;
  for_hints.age = limits::hint_age(options.grace);
  if (options.engine == engine_kind::memory) {
    for_hints.bytes = limits::hint_bytes_within(options.memory_limit, for_hints.bytes);
    for_hints.target_bytes =
        limits::hint_bytes_within(options.memory_limit, for_hints.target_bytes);
  }
  st.hints.use(for_hints);
  st.idle_since = self->home_system().clock().now();
  self->delayed_send(self, limits::flush_interval, tick_atom::value);
  return {
      [self](vnode_batch& batch) {
        accept(self, batch);
        // A write of LevelDB is worth gathering for, one in memory is not.
        if (self->state.context->options.storage.engine == engine_kind::memory)
          run_all(self);
        else
          flush_later(self);
      },
      [self](start_atom, uint32_t partitions) {
        auto& st = self->state;
        if (st.remake && partitions != st.context->options.cluster.partitions)
          st.storage = st.remake(st.context, partitions);
        st.hints.count_from_start(partitions);
        st.trees = partition_trees{partitions};
        st.behind.assign(partitions, 0);
        st.fall_behind();
      },
      [self](flush_batch_atom) { take_all(self); },
      [self](make_tree_atom) { make_tree(self); },
      [self](tick_atom) {
        at_work here{self};
        self->delayed_send(self, limits::flush_interval, tick_atom::value);
        auto& storage = *self->state.storage;
        if (auto err = storage.flush())
          self->state.context->log.debug("flushing storage: {}", message_of(err));
        storage.count_some(limits::counted_per_tick);
        note_losses(self->state);
        drop_old_decisions(self->state);
        self->state.hints.count_some(storage, limits::counted_per_tick);
      },
      [self](report_atom) { return report(self->state); },
      [self](behind_atom) {
        at_work here{self};
        return behind_partitions(self->state);
      },
      [self](behind_atom, const partition_list& partitions, timestamp since) {
        self->state.fall_behind(partitions, since);
      },
      [self](caught_up_atom, const partition_list& partitions, timestamp since) {
        auto& st = self->state;
        for (auto x : partitions)
          if (x < st.behind.size() && st.behind[x] <= since)
            st.behind[x] = 0;
        st.publish();
      },
      [self](const reap_order& x) {
        at_work here{self};
        return reap(self->state, x);
      },
      [self](const hint_question& x) {
        at_work here{self};
        auto& st = self->state;
        auto found = st.hints.find_some(*st.storage, x, st.context->wall_clock());
        // What was too old.
        if (st.hints.changed())
          flush_later(self);
        return found;
      },
      [self](hint_list& taken) {
        at_work here{self};
        auto& st = self->state;
        for (auto& x : taken.hints)
          st.hints.drop_taken(*st.storage, x);
        if (st.hints.changed())
          flush_later(self);
      },
      [self](forget_atom, uint32_t partitions) {
        at_work here{self};
        return forget_all(self->state, partitions);
      },
      [self](stop_atom) {
        take_all(self);
        if (auto err = self->state.storage->flush())
          self->state.context->log.error("the last flush failed: {}", message_of(err));
        self->state.storage.reset();
        self->quit();
        return true;
      },
  };
}

caf::error restore_clock(engine& storage, hybrid_clock& clock) {
  auto stored = storage.read_meta(clock_bound_name);
  if (!stored)
    return stored.error();
  if (!*stored)
    return caf::none;
  byte_reader in{std::string_view{**stored}};
  auto bound = in.u64();
  if (!in.done())
    return failure(errc::damaged, "the stored bound of the clock is damaged");
  clock.observe(bound);
  return caf::none;
}

} // namespace kai
