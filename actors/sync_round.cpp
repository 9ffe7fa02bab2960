#include "actors/sync_round.hpp"

#include <algorithm>
#include <deque>
#include <set>

#include "protocol/limits.hpp"
#include "protocol/merkle.hpp"
#include "protocol/sync_rules.hpp"

namespace kai {

namespace {

/// No tree's root, as far as 64 bits go: asks for the leaves whatever they are.
constexpr uint64_t no_root = UINT64_MAX;

/// One comparison. Lives in the callbacks of the calls under way.
class round : public std::enable_shared_from_this<round> {
public:
  round(sync_self self, round_plan plan, std::function<void(const partition_list&)> lot,
        std::function<void(bool)> done)
      : self_(self), view_(self->state.view), plan_(std::move(plan)), lot_(std::move(lot)),
        done_(std::move(done)) {}

  void next_partitions() {
    std::erase_if(at_hand_, [this](partition_id x) { return failed_.count(x) != 0; });
    if (!at_hand_.empty())
      lot_(at_hand_);
    at_hand_.clear();
    for (; next_ < plan_.partitions.size() && at_hand_.size() < limits::sync_partitions_at_once;
         ++next_)
      at_hand_.push_back(plan_.partitions[next_]);
    if (at_hand_.empty())
      return done_(failed_.empty());
    mine_.assign(at_hand_.size(), {});
    std::vector<std::pair<member_index, call>> calls;
    for (auto x : at_hand_)
      calls.emplace_back(view_->self, call_for(x, tree_call{no_root}));
    ask(std::move(calls), &round::on_own_leaves, &round::compare_roots);
  }

private:
  using answer_handler = void (round::*)(size_t, answer&);
  using next_step = void (round::*)();

  struct key_job {
    partition_id partition = 0;
    key_difference what;
    record mine;
    record theirs;
  };

  template <class Body>
  call call_for(partition_id partition, Body body, blob key = {}) const {
    call x;
    x.partition = partition;
    x.key = std::move(key);
    x.what = std::move(body);
    x.changed_at = view_->topo.changed_at[partition];
    return x;
  }

  void ask(std::vector<std::pair<member_index, call>> calls, answer_handler each, next_step next) {
    auto me = shared_from_this();
    self_->state.surveys.ask(
        self_, view_.get(), std::move(calls),
        [me, each](size_t position, answer& x) { (me.get()->*each)(position, x); },
        [me, next] { (me.get()->*next)(); });
  }

  void on_own_leaves(size_t position, answer& x) {
    if (auto tree = std::get_if<tree_answer>(&x.what))
      mine_[position] = std::move(tree->leaves);
    else
      failed_.insert(at_hand_[position]);
  }

  void compare_roots() {
    std::vector<std::pair<member_index, call>> calls;
    for (size_t i = 0; i < at_hand_.size(); ++i)
      calls.emplace_back(plan_.other, call_for(at_hand_[i], tree_call{merkle_root(mine_[i])}));
    ask(std::move(calls), &round::on_their_leaves, &round::next_leaves);
  }

  void on_their_leaves(size_t position, answer& x) {
    auto partition = at_hand_[position];
    auto tree = std::get_if<tree_answer>(&x.what);
    if (!tree || failed_.count(partition)) {
      failed_.insert(partition);
      return;
    }
    for (auto leaf : differing_leaves(mine_[position], tree->leaves))
      leaves_.emplace_back(partition, leaf);
  }

  void next_leaves() {
    compared_.clear();
    found_leaves_.clear();
    std::vector<std::pair<member_index, call>> calls;
    for (; !leaves_.empty() && compared_.size() < limits::sync_leaves_in_flight;
         leaves_.pop_front()) {
      auto [partition, leaf] = leaves_.front();
      compared_.push_back(partition);
      calls.emplace_back(view_->self, call_for(partition, leaf_call{leaf}));
      calls.emplace_back(plan_.other, call_for(partition, leaf_call{leaf}));
    }
    if (calls.empty())
      return next_partitions();
    found_leaves_.resize(calls.size());
    ask(std::move(calls), &round::on_leaf, &round::compare_leaves);
  }

  void on_leaf(size_t position, answer& x) {
    if (auto leaf = std::get_if<leaf_answer>(&x.what))
      found_leaves_[position] = std::move(*leaf);
    else
      failed_.insert(compared_[position / 2]);
  }

  void compare_leaves() {
    auto& context = *self_->state.context;
    sync_times times;
    times.now = context.now();
    times.grace =
        std::chrono::duration_cast<std::chrono::microseconds>(context.options.storage.grace);
    auto all = times;
    all.young = std::chrono::microseconds{0};
    for (size_t i = 0; i < compared_.size(); ++i) {
      if (failed_.count(compared_[i]))
        continue;
      auto thorough = plan_.thorough.count(compared_[i]) != 0;
      auto chosen = thorough ? all : times;
      chosen.all = view_->moves(compared_[i]);
      for (auto& x : differing_keys(found_leaves_[2 * i], found_leaves_[2 * i + 1], chosen))
        keys_.push_back({compared_[i], std::move(x), {}, {}});
    }
    next_keys();
  }

  void next_keys() {
    jobs_.clear();
    asked_.clear();
    std::vector<std::pair<member_index, call>> calls;
    for (; !keys_.empty() && jobs_.size() < limits::sync_keys_in_flight; keys_.pop_front()) {
      auto index = jobs_.size();
      jobs_.push_back(std::move(keys_.front()));
      auto& job = jobs_.back();
      for (auto own : {true, false})
        if (own ? job.what.mine : job.what.theirs) {
          calls.emplace_back(own ? view_->self : plan_.other,
                             call_for(job.partition, read_call{}, job.what.key));
          asked_.emplace_back(index, own);
        }
    }
    if (jobs_.empty())
      return next_leaves();
    ask(std::move(calls), &round::on_record, &round::exchange);
  }

  void on_record(size_t position, answer& x) {
    auto [index, own] = asked_[position];
    auto& job = jobs_[index];
    if (auto found = std::get_if<record_answer>(&x.what)) {
      (own ? job.mine : job.theirs) = std::move(found->value);
      return;
    }
    // What is damaged here is replaced by what they have.
    auto why = std::get_if<failed_answer>(&x.what);
    if (!why || why->reason != errc::damaged || !(own ? job.what.theirs : job.what.mine))
      failed_.insert(job.partition);
  }

  void exchange() {
    asked_.clear();
    std::vector<std::pair<member_index, call>> calls;
    for (size_t i = 0; i < jobs_.size(); ++i) {
      auto& job = jobs_[i];
      auto merged = merge(job.mine, job.theirs);
      for (auto own : {true, false})
        if (!merged.empty() && merged != (own ? job.mine : job.theirs)) {
          calls.emplace_back(own ? view_->self : plan_.other,
                             call_for(job.partition, store_call{merged}, job.what.key));
          asked_.emplace_back(i, own);
        }
    }
    ask(std::move(calls), &round::on_stored, &round::next_keys);
  }

  void on_stored(size_t position, answer& x) {
    auto [index, own] = asked_[position];
    auto& count = self_->state.counted;
    if (std::holds_alternative<stored_answer>(x.what))
      ++(own ? count.keys_received : count.keys_sent);
    else
      failed_.insert(jobs_[index].partition);
  }

  sync_self self_;
  /// The peers of the round's begin: a member that comes back has a round of its own.
  view_ptr view_;
  round_plan plan_;
  std::function<void(const partition_list&)> lot_;
  std::function<void(bool)> done_;
  std::set<partition_id> failed_;

  size_t next_ = 0;
  partition_list at_hand_;
  /// Leaves of those at hand, on this node.
  std::vector<std::vector<uint64_t>> mine_;
  std::deque<std::pair<partition_id, uint16_t>> leaves_;
  /// The partitions of the leaves that are compared now, and of each this node's and the other's.
  partition_list compared_;
  std::vector<leaf_answer> found_leaves_;
  std::deque<key_job> keys_;
  std::vector<key_job> jobs_;
  /// Per call under way, its job and whether it went to this node.
  std::vector<std::pair<size_t, bool>> asked_;
};

} // namespace

void start_round(sync_self self, round_plan plan,
                 std::function<void(const partition_list& equal)> lot,
                 std::function<void(bool all_equal)> done) {
  ++self->state.counted.rounds;
  std::make_shared<round>(self, std::move(plan), std::move(lot), std::move(done))
      ->next_partitions();
}

} // namespace kai
