#pragma once

#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <vector>

#include <caf/actor_clock.hpp>

#include "protocol/messages.hpp"
#include "storage/record_cache.hpp"

namespace kai {

/// Through it the I/O loop answers reads in the place of a vnode on a thread of its own, for as
/// long as the vnode would answer the same: two thread switches cost more than most reads.
class read_window {
public:
  using time_point = caf::actor_clock::time_point;

  explicit read_window(std::shared_ptr<record_cache> records) : records_(std::move(records)) {}

  // --- for the vnode -----------------------------------------------------------------------------

  /// Partitions whose replicas elsewhere may have more, true for each; all of them, if empty.
  void publish(std::vector<bool> behind);
  /// The vnode is at work. When it, or the whole process, was stopped for long, it has to look
  /// itself.
  void alive(time_point now);

  // --- for the loop ------------------------------------------------------------------------------

  /// Keys that `answer_to` will be asked for.
  void expect(std::span<const uint64_t> key_hashes) { records_->expect(key_hashes); }
  /// Nothing: the vnode has to be asked.
  std::optional<answer> answer_to(const call& x, time_point now);
  /// The call is sent to the vnode: reads that come behind it have to stay behind it.
  void pass(const call& x);

private:
  std::shared_ptr<record_cache> records_;
  std::mutex mutex_;
  std::vector<bool> behind_;
  std::optional<time_point> alive_;
};

} // namespace kai
