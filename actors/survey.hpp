#pragma once

#include <functional>
#include <map>
#include <utility>
#include <vector>

#include <caf/config.hpp>

#include "actors/cluster_view.hpp"

namespace kai {

/// Calls of one actor to several members, gathered until all are answered. Every call is answered
/// by its peer, so every survey ends.
class survey_desk {
public:
  /// Calls in one survey.
  static constexpr size_t calls_max = 0xffff;
  /// `position`: of the call in its survey.
  using on_answer = std::function<void(size_t position, answer&)>;

  /// Sends the calls to their members' peers, those of one member together. `each` sees every
  /// answer, `all` runs after the last: at once, when there is nothing to ask.
  template <class Self>
  void ask(Self* self, const cluster_view* view, std::vector<std::pair<member_index, call>> calls,
           on_answer each, std::function<void()> all) {
    if (calls.empty() || !view)
      return all();
    CAF_ASSERT(calls.size() <= calls_max);
    auto id = next_++;
    open_[id] = {calls.size(), std::move(each), std::move(all)};
    std::map<member_index, call_list> lists;
    for (size_t i = 0; i < calls.size(); ++i) {
      auto& [to, x] = calls[i];
      x.id = id << 16 | i;
      lists[to].calls.push_back(std::move(x));
    }
    for (auto& [to, list] : lists)
      self->send(view->peers[to], std::move(list));
  }

  /// To be called with every answer_list that the actor gets.
  void on_answers(answer_list& xs) {
    for (auto& x : xs.answers) {
      auto i = open_.find(x.id >> 16);
      if (i == open_.end())
        continue;
      i->second.each(x.id & 0xffff, x);
      if (--i->second.missing > 0)
        continue;
      auto all = std::move(i->second.all);
      open_.erase(i);
      all();
    }
  }

private:
  struct survey {
    size_t missing = 0;
    on_answer each;
    std::function<void()> all;
  };

  std::map<uint64_t, survey> open_;
  uint64_t next_ = 1;
};

} // namespace kai
