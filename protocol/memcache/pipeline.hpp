#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <utility>
#include <vector>

#include <boost/container/deque.hpp>

namespace kai::memcache {

/// The order of one client's commands. They take effect in the order sent where that can be told:
/// on one key one after another, on different keys in parallel; a *barrier* (flush_all, quit, ...)
/// waits for all before it, and what follows waits for the barrier. Answers leave in order. Pure:
/// the connection starts what `start_next` gives and reports `finish`.
///
/// Each entry has a sequence number, counted from 0 over the life of the connection. T holds what
/// the connection needs.
template <class T>
class pipeline {
public:
  enum class kind : uint8_t {
    /// Touches no key and needs no work: its answer only waits for its turn. Finished from the
    /// start.
    ready,
    /// Works on the key with the hash given.
    keyed,
    barrier,
  };

  /// With a `seed` that clients do not know they cannot tell which keys share a bucket.
  explicit pipeline(uint64_t seed = 0x9e3779b97f4a7c15) : multiplier_(seed | 1) {}

  /// Appends an entry.
  uint64_t add(T value, kind what, uint64_t hash = 0) {
    auto sequence = first_ + entries_.size();
    entries_.push_back({std::move(value), hash, what, progress::waiting, 0, 0});
    auto& x = entries_.back();
    if (what == kind::ready) {
      x.state = progress::finished;
      return sequence;
    }
    ++waiting_;
    if (what == kind::barrier) {
      barriers_.push_back(sequence);
      return sequence;
    }
    if (entries_.size() > buckets_.size())
      grow_buckets();
    auto before = bucket_of(hash);
    put_in_bucket(x, sequence);
    for (; before > first_; before = entries_[before - 1 - first_].before_in_bucket) {
      auto& other = entries_[before - 1 - first_];
      if (other.hash != hash)
        continue;
      // Those before it on the same key are finished when it is.
      if (other.state == progress::finished)
        break;
      other.successor = sequence + 1;
      return sequence;
    }
    make_startable(sequence);
    return sequence;
  }

  bool empty() const { return entries_.empty(); }
  size_t size() const { return entries_.size(); }
  /// Started and not finished.
  size_t running() const { return running_; }
  size_t waiting() const { return waiting_; }

  T& operator[](uint64_t sequence) { return entries_[sequence - first_].value; }
  /// Whether `finish` has to come for it still.
  bool is_running(uint64_t sequence) const {
    return sequence >= first_ && sequence - first_ < entries_.size() &&
           entries_[sequence - first_].state == progress::running;
  }

  /// Calls `start(sequence, value)` for entries that may start, oldest first, while fewer than
  /// `window` run.
  template <class Start>
  void start_next(size_t window, Start start) {
    while (running_ < window) {
      auto next = startable_.empty() ? UINT64_MAX : startable_.front();
      if (!barriers_.empty() && barriers_.front() < next) {
        auto barrier = barriers_.front();
        auto& x = entries_[barrier - first_];
        if (x.state != progress::waiting || !all_finished_before(barrier))
          return;
        run(barrier, start);
      } else if (next == UINT64_MAX) {
        return;
      } else {
        std::pop_heap(startable_.begin(), startable_.end(), std::greater<>{});
        startable_.pop_back();
        run(next, start);
      }
    }
  }

  void finish(uint64_t sequence) {
    auto& x = entries_[sequence - first_];
    x.state = progress::finished;
    --running_;
    if (x.what == kind::barrier)
      barriers_.pop_front();
    else if (x.successor != 0)
      make_startable(x.successor - 1);
  }

  /// A running one that starts once more, in its turn.
  void put_back(uint64_t sequence) {
    entries_[sequence - first_].state = progress::waiting;
    ++waiting_;
    --running_;
    make_startable(sequence);
  }

  /// Whether the oldest entry is finished: answer and `pop` it.
  bool front_finished() const {
    return !entries_.empty() && entries_.front().state == progress::finished;
  }
  bool is_front(uint64_t sequence) const { return sequence == first_; }
  T& front() { return entries_.front().value; }
  void pop() {
    entries_.pop_front();
    ++first_;
    if (entries_.empty() && buckets_.size() > buckets_kept_max) {
      buckets_ = std::vector<uint64_t>(buckets_min);
      bucket_shift_ = bucket_shift_max;
    }
  }

private:
  static constexpr unsigned bucket_shift_max = 58;
  static constexpr size_t buckets_min = size_t{1} << (64 - bucket_shift_max);
  static constexpr size_t buckets_kept_max = 1024;

  enum class progress : uint8_t { waiting, running, finished };

  /// Positions are sequence numbers plus one; 0: none.
  struct entry {
    T value;
    uint64_t hash;
    kind what;
    progress state;
    /// The next one on the same key, which waits for this one.
    uint64_t successor;
    uint64_t before_in_bucket;
  };

  template <class Start>
  void run(uint64_t sequence, Start& start) {
    auto& x = entries_[sequence - first_];
    x.state = progress::running;
    --waiting_;
    ++running_;
    start(sequence, x.value);
  }

  uint64_t& bucket_of(uint64_t hash) {
    // Multiply-shift: for any two hashes few multipliers give the same upper bits.
    return buckets_[hash * multiplier_ >> bucket_shift_];
  }

  void put_in_bucket(entry& x, uint64_t sequence) {
    auto& last = bucket_of(x.hash);
    x.before_in_bucket = std::exchange(last, sequence + 1);
  }

  /// Few share a bucket, however many there are.
  void grow_buckets() {
    --bucket_shift_;
    buckets_.assign(2 * buckets_.size(), 0);
    for (size_t i = 0; i + 1 < entries_.size(); ++i)
      if (entries_[i].what == kind::keyed)
        put_in_bucket(entries_[i], first_ + i);
  }

  void make_startable(uint64_t sequence) {
    startable_.push_back(sequence);
    std::push_heap(startable_.begin(), startable_.end(), std::greater<>{});
  }

  bool all_finished_before(uint64_t sequence) {
    finished_until_ = std::max(finished_until_, first_);
    while (finished_until_ < sequence &&
           entries_[finished_until_ - first_].state == progress::finished)
      ++finished_until_;
    return finished_until_ == sequence;
  }

  /// Not std::deque, which allocates where it is empty, and each element of such a size by itself.
  boost::container::deque<entry, void,
                          boost::container::deque_options<boost::container::block_size<4>>::type>
      entries_;
  uint64_t first_ = 0;
  size_t waiting_ = 0;
  size_t running_ = 0;
  /// Sequence numbers of entries whose key is free, as a heap, oldest first.
  std::vector<uint64_t> startable_;
  /// Of barriers that are not finished.
  boost::container::deque<uint64_t> barriers_;
  /// All before are finished.
  uint64_t finished_until_ = 0;
  /// By hash, the last entry that was added: to find the one before on the same key. Their number
  /// is a power of two, and grows with that of the entries.
  std::vector<uint64_t> buckets_ = std::vector<uint64_t>(buckets_min);
  unsigned bucket_shift_ = bucket_shift_max;
  uint64_t multiplier_;
};

} // namespace kai::memcache
