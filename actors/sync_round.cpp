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
    begin_lot();
    end_if_gone();
    std::erase_if(at_hand_, [this](partition_id x) { return failed(x); });
    if (!at_hand_.empty())
      lot_(at_hand_);
    at_hand_.clear();
    auto many = rhythm().lot(limits::sync_partitions_at_once);
    for (; next_ < plan_.partitions.size() && at_hand_.size() < many; ++next_)
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
    uint64_t bytes = 0;
    /// It came to nothing, and is to be done once more.
    bool again = false;
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

  /// Where another peer stands for the member now, or none, the old one ends soon and answers no
  /// more: the round ends, too.
  void end_if_gone() {
    auto& peers = self_->state.view->peers;
    if (std::find(peers.begin(), peers.end(), view_->peers[plan_.other]) != peers.end())
      return;
    failed_.insert(plan_.partitions.begin(), plan_.partitions.end());
    next_ = plan_.partitions.size();
  }

  /// Leaves and keys of partitions that have failed are not gone on with.
  bool failed(partition_id partition) const { return failed_.count(partition) != 0; }

  // --- pacing

  const pace& rhythm() const { return self_->state.rhythm; }

  sync_state::time_point now() const { return self_->home_system().clock().now(); }

  void begin_lot() { lot_began_ = now(); }

  /// A lot is over: goes on with `next` when clients have had their share.
  void rest_before(next_step next) {
    auto& partners = self_->state.partners;
    auto rounds =
        std::count_if(partners.begin(), partners.end(), [](auto& x) { return x.second.comparing; });
    auto rest = rhythm().rest(now() - lot_began_, static_cast<size_t>(rounds));
    if (rest == pace::duration::zero())
      return (this->*next)();
    auto me = shared_from_this();
    self_->state.resting.emplace(now() + rest, [me, next] { (me.get()->*next)(); });
    self_->delayed_send(self_, caf::timespan{rest}, turn_atom::value);
  }

  // --- partitions

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
    ask(std::move(calls), &round::on_their_leaves, &round::on_compared);
  }

  void on_their_leaves(size_t position, answer& x) {
    auto partition = at_hand_[position];
    auto tree = std::get_if<tree_answer>(&x.what);
    if (!tree || failed(partition)) {
      failed_.insert(partition);
      return;
    }
    auto differing = differing_leaves(mine_[position], tree->leaves);
    for (auto leaf : differing)
      leaves_.emplace_back(partition, leaf);
    if (view_->is_newcomer(view_->self, partition)) {
      auto changed_at = view_->topo.changed_at[partition];
      auto& x = self_->state.fillings[partition];
      // What is compared once more, as with the other sources, is no step back.
      auto known = x.changed_at == changed_at;
      x = {changed_at, std::max(known ? x.most : 0, differing.size()),
           known ? std::min(x.left, differing.size()) : differing.size()};
    }
  }

  void on_compared() {
    if (leaves_.empty())
      next_partitions();
    else
      rest_before(&round::next_leaves);
  }

  // --- leaves

  void note_compared_leaves() {
    auto& fillings = self_->state.fillings;
    for (auto partition : compared_)
      if (auto found = fillings.find(partition); found != fillings.end() && found->second.left > 0)
        --found->second.left;
  }

  void next_leaves() {
    begin_lot();
    end_if_gone();
    std::erase_if(leaves_, [this](auto& x) { return failed(x.first); });
    note_compared_leaves();
    compared_.clear();
    found_leaves_.clear();
    std::vector<std::pair<member_index, call>> calls;
    auto key_bytes = lots_.bytes_each() ? lots_.bytes_each() : limits::busy_lot_bytes;
    auto many = rhythm().lot(limits::sync_leaves_in_flight, leaf_keys_ * key_bytes);
    for (; !leaves_.empty() && compared_.size() < many; leaves_.pop_front()) {
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
    size_t most = 0;
    for (auto& x : found_leaves_)
      most = std::max(most, x.entries.size());
    leaf_keys_ = most;
    auto& context = *self_->state.context;
    sync_times times;
    times.now = context.now();
    times.grace =
        std::chrono::duration_cast<std::chrono::microseconds>(context.options.storage.grace);
    auto all = times;
    all.young = std::chrono::microseconds{0};
    for (size_t i = 0; i < compared_.size(); ++i) {
      if (failed(compared_[i]))
        continue;
      auto thorough = plan_.thorough.count(compared_[i]) != 0;
      auto chosen = thorough ? all : times;
      chosen.all = view_->moves(compared_[i]);
      for (auto& x : differing_keys(found_leaves_[2 * i], found_leaves_[2 * i + 1], chosen))
        keys_.push_back({compared_[i], std::move(x), {}, {}, 0, false});
    }
    rest_before(&round::next_keys);
  }

  // --- keys

  void next_keys() {
    begin_lot();
    end_if_gone();
    std::erase_if(keys_, [this](auto& x) { return failed(x.partition); });
    jobs_.clear();
    asked_.clear();
    late_ = false;
    std::vector<std::pair<member_index, call>> calls;
    auto many = lots_.next(rhythm().lot(limits::sync_keys_in_flight, lots_.bytes_each()));
    for (; !keys_.empty() && jobs_.size() < many; keys_.pop_front()) {
      auto index = jobs_.size();
      jobs_.push_back(std::move(keys_.front()));
      auto& job = jobs_.back();
      for (auto own : {true, false})
        if (own ? job.what.mine : job.what.theirs) {
          calls.emplace_back(own ? view_->self : plan_.other,
                             call_for(job.partition, read_call{false, true}, job.what.key));
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
      job.bytes = std::max<uint64_t>(job.bytes, size_of(x));
      (own ? job.mine : job.theirs) = std::move(found->value);
      return;
    }
    // What is damaged here is replaced by what they have.
    auto why = std::get_if<failed_answer>(&x.what);
    if (!why || why->reason != errc::damaged || !(own ? job.what.theirs : job.what.mine))
      come_to_nothing(job, x);
  }

  /// What came too late as one of many is done again, as one of fewer.
  void come_to_nothing(key_job& job, const answer& x) {
    auto why = std::get_if<failed_answer>(&x.what);
    auto late = why && (why->reason == errc::timed_out || why->reason == errc::overloaded);
    late_ = late_ || late;
    if (late && jobs_.size() > 1)
      job.again = true;
    else
      failed_.insert(job.partition);
  }

  void exchange() {
    asked_.clear();
    std::vector<std::pair<member_index, call>> calls;
    for (size_t i = 0; i < jobs_.size(); ++i) {
      auto& job = jobs_[i];
      if (job.again)
        continue;
      auto merged = merge(job.mine, job.theirs);
      for (auto own : {true, false})
        if (!merged.empty() && merged != (own ? job.mine : job.theirs)) {
          calls.emplace_back(own ? view_->self : plan_.other,
                             call_for(job.partition, store_call{merged}, job.what.key));
          asked_.emplace_back(i, own);
        }
    }
    ask(std::move(calls), &round::on_stored, &round::on_exchanged);
  }

  void on_exchanged() {
    uint64_t largest = 0;
    for (auto& x : jobs_) {
      largest = std::max(largest, x.bytes);
      if (x.again)
        keys_.push_front({x.partition, std::move(x.what), {}, {}, 0, false});
    }
    if (late_)
      lots_.too_much(jobs_.size());
    else if (largest > 0)
      lots_.came(jobs_.size(), largest);
    if (keys_.empty())
      next_keys();
    else
      rest_before(&round::next_keys);
  }

  void on_stored(size_t position, answer& x) {
    auto [index, own] = asked_[position];
    auto& st = self_->state;
    if (!std::holds_alternative<stored_answer>(x.what))
      return come_to_nothing(jobs_[index], x);
    ++(own ? st.counted.keys_received : st.counted.keys_sent);
    if (own)
      st.received.add(jobs_[index].bytes, now().time_since_epoch());
  }

  sync_self self_;
  /// The peers of the round's begin: a member that comes back has a round of its own.
  view_ptr view_;
  round_plan plan_;
  std::function<void(const partition_list&)> lot_;
  std::function<void(bool)> done_;
  std::set<partition_id> failed_;

  sync_state::time_point lot_began_;
  record_lots lots_;
  /// Something of the lot at hand came too late.
  bool late_ = false;
  /// So many keys are in a leaf: as the largest of the last lot.
  uint64_t leaf_keys_ = 1;

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
