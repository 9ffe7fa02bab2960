#include "protocol/paxos.hpp"

#include <algorithm>
#include <random>
#include <string>
#include <vector>

#include <catch2/catch.hpp>

using namespace kai;
using namespace kai::paxos;

namespace {

std::string encoded(const vote& x) {
  std::string result;
  byte_writer out{result};
  encode(out, x);
  return result;
}

using step = proposal::step;

/// Several proposers and acceptors, and a network that does to messages what the seed says.
class simulation {
public:
  explicit simulation(uint64_t seed) : random_(seed) {
    stored_.resize(1 + below(7), encoded(vote{}));
    for (auto& bytes : stored_)
      acceptors_.push_back(loaded(bytes));
    proposers_.resize(1 + below(4));
  }

  /// Messages get lost, doubled and overtaken; acceptors and proposers restart.
  void run_with_faults(int turns) {
    for (int i = 0; i < turns; ++i) {
      auto what = below(100);
      if (what < 10)
        start_attempt(below(proposers_.size()));
      else if (what < 13)
        restart_acceptor(below(acceptors_.size()));
      else if (what < 17)
        restart_proposer(below(proposers_.size()));
      else if (!network_.empty())
        deliver_any();
    }
  }

  /// Messages flow, late ones of before included, and one proposer goes on until it decided.
  /// Returns the number of attempts; 0: it did not get there.
  int run_calmly() {
    calm_ = true;
    for (int attempt = 1; attempt <= 20; ++attempt) {
      start_attempt(0);
      while (!network_.empty())
        deliver_any();
      if (proposers_[0].decided)
        return attempt;
    }
    return 0;
  }

  bool all_agree() const {
    return std::all_of(decided_.begin(), decided_.end(),
                       [this](const blob& x) { return x == decided_.front(); });
  }
  const std::vector<blob>& decided() const { return decided_; }
  const std::vector<blob>& proposed() const { return proposed_; }

private:
  struct proposer {
    std::optional<proposal> current;
    uint64_t round = 0;
    /// Answers to a former self do not arrive: its connections are gone.
    int incarnation = 0;
    bool decided = false;
  };

  enum class kind { prepare, accept, prepare_answer, accept_answer };

  struct message {
    kind what;
    size_t proposer;
    size_t acceptor;
    int incarnation;
    ballot at;
    blob value;
    paxos::answer answer;
  };

  size_t below(size_t n) { return random_() % n; }

  static vote loaded(const std::string& bytes) {
    byte_reader in{bytes};
    auto result = decode_vote(in);
    if (!in.done())
      throw std::runtime_error{"a stored vote can not be read"};
    return result;
  }

  void send(message x) {
    if (!calm_ && below(100) < 15)
      return;
    if (!calm_ && below(100) < 15)
      network_.push_back(x);
    network_.push_back(std::move(x));
  }

  void send_to_all(size_t who, kind what) {
    auto& from = proposers_[who];
    for (size_t i = 0; i < acceptors_.size(); ++i)
      send({what, who, i, from.incarnation, from.current->at(), from.current->value(), {}});
  }

  void start_attempt(size_t who) {
    auto& x = proposers_[who];
    if (x.current)
      x.round = std::max(x.round, x.current->highest_seen().round);
    ++x.round;
    proposed_.push_back(blob::copy_of("value " + std::to_string(proposed_.size())));
    x.current.emplace(ballot{x.round, who + 1}, acceptors_.size(), proposed_.back());
    send_to_all(who, kind::prepare);
  }

  /// Forgets everything, the ballots it used included.
  void restart_proposer(size_t who) {
    proposers_[who] = proposer{{}, 0, proposers_[who].incarnation + 1, false};
  }

  void restart_acceptor(size_t who) { acceptors_[who] = loaded(stored_[who]); }

  void deliver_any() {
    std::swap(network_[below(network_.size())], network_.back());
    auto x = std::move(network_.back());
    network_.pop_back();
    if (x.what == kind::prepare || x.what == kind::accept)
      deliver_to_acceptor(std::move(x));
    else
      deliver_to_proposer(x);
  }

  void deliver_to_acceptor(message x) {
    auto& mine = acceptors_[x.acceptor];
    auto preparing = x.what == kind::prepare;
    x.answer = preparing ? prepare(mine, x.at) : accept(mine, x.at, x.value);
    // Dies before the vote is on disk: then no answer has left either.
    if (!calm_ && below(100) < 3)
      return restart_acceptor(x.acceptor);
    stored_[x.acceptor] = encoded(mine);
    x.what = preparing ? kind::prepare_answer : kind::accept_answer;
    send(std::move(x));
  }

  void deliver_to_proposer(const message& x) {
    auto& to = proposers_[x.proposer];
    if (!to.current || to.incarnation != x.incarnation)
      return;
    auto next = x.what == kind::prepare_answer ? to.current->on_prepare_answer(x.acceptor, x.answer)
                                               : to.current->on_accept_answer(x.acceptor, x.answer);
    if (next == step::send_accept)
      send_to_all(x.proposer, kind::accept);
    if (next == step::decided) {
      to.decided = true;
      decided_.push_back(to.current->value());
    }
  }

  std::mt19937_64 random_;
  bool calm_ = false;
  std::vector<vote> acceptors_;
  std::vector<std::string> stored_;
  std::vector<proposer> proposers_;
  std::vector<message> network_;
  std::vector<blob> proposed_;
  std::vector<blob> decided_;
};

const auto ours = blob::copy_of("ours");
const auto theirs = blob::copy_of("theirs");
const ballot low{1, 7};
const ballot high{2, 3};

answer promise(const ballot& at, std::optional<accepted_value> found = {}) {
  return {true, {at, std::move(found)}};
}
answer accepted(const ballot& at, const blob& value) {
  return {true, {at, accepted_value{at, value}}};
}
answer refusal(const ballot& promised) { return {false, {promised, {}}}; }

} // namespace

TEST_CASE("at most one value is decided, whatever network and restarts do, and calm brings one") {
  int decided_under_faults = 0;
  int attempts = 0;
  for (uint64_t seed = 0; seed < 10'000; ++seed) {
    simulation world{seed};
    world.run_with_faults(250);
    decided_under_faults += world.decided().empty() ? 0 : 1;
    auto needed = world.run_calmly();
    attempts = std::max(attempts, needed);
    const auto& proposed = world.proposed();
    auto right =
        needed > 0 && world.all_agree() &&
        std::find(proposed.begin(), proposed.end(), world.decided().front()) != proposed.end();
    if (!right) {
      INFO("seed " << seed);
      CHECK(needed > 0);
      CHECK(world.all_agree());
      FAIL("a run broke Paxos");
    }
  }
  // The runs are worth something only when both happens often.
  CHECK(decided_under_faults > 3'000);
  CHECK(decided_under_faults < 9'900);
  CHECK(attempts <= 3);
}

TEST_CASE("an acceptor promises a ballot once and refuses what is below its promise") {
  vote mine;
  CHECK(prepare(mine, low) == promise(low));
  CHECK(prepare(mine, low) == refusal(low));
  CHECK(prepare(mine, high) == promise(high));
  CHECK(accept(mine, low, ours) == refusal(high));
  CHECK_FALSE(mine.accepted);
  CHECK(accept(mine, high, ours) == accepted(high, ours));
  CHECK(accept(mine, high, ours) == accepted(high, ours));
  CHECK(mine == accepted(high, ours).state);
}

TEST_CASE("a proposer that forgot its ballot can not decide a second value with it") {
  std::vector<vote> acceptors(3);
  proposal before{low, 3, ours};
  before.on_prepare_answer(0, prepare(acceptors[0], low));
  CHECK(before.on_prepare_answer(1, prepare(acceptors[1], low)) == step::send_accept);
  // Its accepts are still on their way when it comes back.
  proposal after{low, 3, theirs};
  CHECK(after.on_prepare_answer(0, prepare(acceptors[0], low)) == step::wait);
  CHECK(after.on_prepare_answer(2, prepare(acceptors[2], low)) == step::wait);
  CHECK(after.on_prepare_answer(1, prepare(acceptors[1], low)) == step::lost);
  CHECK(after.highest_seen() == low);
}

TEST_CASE("an acceptor takes a higher ballot that it never promised") {
  vote mine;
  prepare(mine, low);
  CHECK(accept(mine, high, ours).granted);
  CHECK(mine.promised == high);
  CHECK_FALSE(prepare(mine, low).granted);
}

TEST_CASE("a proposal with a majority of promises and of acceptances is decided") {
  proposal x{low, 5, ours};
  CHECK(x.on_prepare_answer(0, promise(low)) == step::wait);
  CHECK(x.on_prepare_answer(0, promise(low)) == step::wait);
  CHECK(x.on_prepare_answer(3, promise(low)) == step::wait);
  CHECK(x.on_accept_answer(0, accepted(low, ours)) == step::wait);
  CHECK(x.on_prepare_answer(4, promise(low)) == step::send_accept);
  CHECK(x.on_prepare_answer(1, promise(low)) == step::wait);
  CHECK(x.value() == ours);
  CHECK(x.is_own_value());
  CHECK(x.on_accept_answer(0, accepted(low, ours)) == step::wait);
  CHECK(x.on_accept_answer(0, accepted(low, ours)) == step::wait);
  CHECK(x.on_accept_answer(1, accepted(low, ours)) == step::wait);
  CHECK(x.on_accept_answer(2, accepted(low, ours)) == step::decided);
  CHECK(x.on_accept_answer(3, accepted(low, ours)) == step::wait);
}

TEST_CASE("one voter decides alone") {
  proposal x{low, 1, ours};
  CHECK(x.on_prepare_answer(0, promise(low)) == step::send_accept);
  CHECK(x.on_accept_answer(0, accepted(low, ours)) == step::decided);
}

TEST_CASE("a proposal adopts the accepted value with the highest ballot") {
  proposal x{{9, 1}, 3, ours};
  x.on_prepare_answer(0, promise({9, 1}, accepted_value{high, theirs}));
  CHECK(x.on_prepare_answer(1, promise({9, 1}, accepted_value{low, blob::copy_of("older")})) ==
        step::send_accept);
  CHECK(x.value() == theirs);
  CHECK_FALSE(x.is_own_value());
}

TEST_CASE("a proposal is lost once a majority is out of reach, and knows what to beat") {
  proposal x{low, 3, ours};
  CHECK(x.highest_seen() == low);
  CHECK(x.on_prepare_answer(0, refusal(high)) == step::wait);
  CHECK(x.on_prepare_answer(0, refusal(high)) == step::wait);
  CHECK(x.on_prepare_answer(1, refusal({5, 1})) == step::lost);
  CHECK(x.on_prepare_answer(2, refusal({6, 1})) == step::wait);
  CHECK(x.highest_seen() == ballot{6, 1});
}

TEST_CASE("a proposal can be lost in its second phase") {
  proposal x{low, 3, ours};
  x.on_prepare_answer(0, promise(low));
  x.on_prepare_answer(1, promise(low));
  CHECK(x.on_accept_answer(0, accepted(low, ours)) == step::wait);
  CHECK(x.on_accept_answer(1, refusal(high)) == step::wait);
  CHECK(x.on_accept_answer(2, refusal(high)) == step::lost);
}

TEST_CASE("answers to other ballots and from outside the voters change nothing") {
  proposal x{high, 3, ours};
  CHECK(x.on_prepare_answer(3, promise(high)) == step::wait);
  CHECK(x.on_prepare_answer(3, refusal({9, 9})) == step::wait);
  CHECK(x.highest_seen() == high);
  CHECK(x.on_prepare_answer(0, promise(low)) == step::wait);
  CHECK(x.on_prepare_answer(0, refusal(low)) == step::wait);
  CHECK(x.on_prepare_answer(1, refusal(low)) == step::wait);
  CHECK(x.on_prepare_answer(0, promise(high)) == step::wait);
  CHECK(x.on_prepare_answer(1, promise(high)) == step::send_accept);
  CHECK(x.on_accept_answer(0, accepted(low, ours)) == step::wait);
  CHECK(x.on_accept_answer(1, accepted(low, ours)) == step::wait);
  CHECK(x.on_accept_answer(1, accepted(high, ours)) == step::wait);
  CHECK(x.on_accept_answer(2, accepted(high, ours)) == step::decided);
}

TEST_CASE("a promise counts although the refusal of its repetition overtook it") {
  proposal x{low, 3, ours};
  CHECK(x.on_prepare_answer(0, refusal(low)) == step::wait);
  CHECK(x.on_prepare_answer(0, promise(low)) == step::wait);
  CHECK(x.on_prepare_answer(1, refusal(high)) == step::wait);
  CHECK(x.on_prepare_answer(2, promise(low)) == step::send_accept);
}

TEST_CASE("a vote reads as it was written") {
  for (const auto& x : {vote{}, promise(high).state, accepted(low, ours).state,
                        vote{high, accepted_value{low, blob{}}}}) {
    auto bytes = encoded(x);
    byte_reader in{bytes};
    CHECK(decode_vote(in) == x);
    CHECK(in.done());
  }
}

TEST_CASE("a vote that was cut short or can not be is refused") {
  auto bytes = encoded(vote{high, accepted_value{low, ours}});
  for (size_t n = 0; n < bytes.size(); ++n) {
    byte_reader in{std::string_view{bytes}.substr(0, n)};
    CHECK(decode_vote(in) == vote{});
    CHECK_FALSE(in.ok());
  }
  for (auto wrong : {encoded(vote{low, accepted_value{high, ours}}), '\2' + bytes.substr(1),
                     std::string(1, '\1') + std::string(9, '\0') + '\2'}) {
    byte_reader in{wrong};
    decode_vote(in);
    CHECK_FALSE(in.ok());
  }
}
