#include "apps/bench/collector.hpp"

#include <algorithm>
#include <utility>

namespace kai::bench {

collector::collector(uint64_t workers, double duration_seconds, listener listening)
    : workers_(workers), duration_seconds_(duration_seconds), listening_(std::move(listening)) {}

void collector::deliver(uint64_t second, const tally& counted) {
  std::lock_guard guard{lock_};
  counted_.merge(counted);
  auto& here = open_[second];
  here.counted.merge(counted);
  if (++here.delivered < workers_)
    return;
  close(second, here);
  open_.erase(second);
}

void collector::finish(double duration_seconds) {
  std::lock_guard guard{lock_};
  duration_seconds_ = duration_seconds;
  for (const auto& [second, what] : open_)
    close(second, what);
  open_.clear();
  std::sort(series_.begin(), series_.end(),
            [](const auto& a, const auto& b) { return a.second < b.second; });
}

void collector::close(uint64_t second, const open_second& what) {
  auto left = duration_seconds_ - static_cast<double>(second);
  series_.push_back(summarize(second, std::clamp(left, 0.001, 1.0), what.counted));
  if (listening_)
    listening_(series_.back());
}

} // namespace kai::bench
