#pragma once

#include <functional>
#include <map>
#include <utility>
#include <vector>

#include "actors/cluster_view.hpp"

namespace kai {

/// Questions of one actor to several members, each gathered until all have answered. Every call is
/// answered by its peer, so every survey ends.
class survey_desk {
public:
  using on_answer = std::function<void(member_index, answer&)>;

  /// Sends each member's call to its peer. `each` sees every answer, `all` runs after the last: at
  /// once, when there was nobody to ask.
  template <class Self>
  void ask(Self* self, const cluster_view* view, std::vector<std::pair<member_index, call>> calls,
           on_answer each, std::function<void()> all) {
    if (calls.empty() || !view)
      return all();
    auto id = next_++;
    open_[id] = {calls.size(), std::move(each), std::move(all)};
    for (auto& [to, x] : calls) {
      call_list list;
      x.id = id << 16 | to;
      list.calls.push_back(std::move(x));
      self->send(view->peers[to], std::move(list));
    }
  }

  /// To be called with every answer_list that the actor gets.
  void on_answers(answer_list& xs) {
    for (auto& x : xs.answers) {
      auto i = open_.find(x.id >> 16);
      if (i == open_.end())
        continue;
      i->second.each(static_cast<member_index>(x.id & 0xffff), x);
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
