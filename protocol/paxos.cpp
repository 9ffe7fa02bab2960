#include "protocol/paxos.hpp"

#include <algorithm>
#include <utility>

namespace kai::paxos {

namespace {

constexpr uint8_t vote_format = 1;

void encode(byte_writer& out, const ballot& x) {
  out.varint(x.round);
  out.u64(x.proposer);
}

ballot decode_ballot(byte_reader& in) {
  ballot result;
  result.round = in.varint();
  result.proposer = in.u64();
  return result;
}

} // namespace

void encode(byte_writer& out, const vote& x) {
  out.u8(vote_format);
  encode(out, x.promised);
  out.u8(x.accepted ? 1 : 0);
  if (x.accepted) {
    encode(out, x.accepted->at);
    out.bytes(x.accepted->value.view());
  }
}

vote decode_vote(byte_reader& in) {
  if (in.u8() != vote_format)
    in.fail();
  vote result;
  result.promised = decode_ballot(in);
  auto has_accepted = in.u8();
  if (has_accepted > 1)
    in.fail();
  if (has_accepted == 1 && in.ok()) {
    auto at = decode_ballot(in);
    result.accepted = accepted_value{at, in.read_blob()};
    // Accepting promises as well.
    if (result.promised < at)
      in.fail();
  }
  return in.ok() ? result : vote{};
}

answer prepare(vote& mine, const ballot& at) {
  if (at <= mine.promised)
    return {false, mine};
  mine.promised = at;
  return {true, mine};
}

answer accept(vote& mine, const ballot& at, const blob& value) {
  if (at < mine.promised)
    return {false, mine};
  mine.promised = at;
  mine.accepted = accepted_value{at, value};
  return {true, mine};
}

proposal::proposal(ballot at, size_t voters, blob value)
    : at_(at), voters_(voters), value_(std::move(value)), highest_(at) {}

bool proposal::concerns(phase now, size_t from, const answer& x) {
  if (from >= voters_)
    return false;
  highest_ = std::max(highest_, x.state.promised);
  return phase_ == now;
}

proposal::step proposal::refused_by(size_t from, const vote& state) {
  // A refusal that came late, from a promise below ours, is the answer to another ballot.
  if (state.promised < at_ || granted_.contains(from) || !refused_.insert(from).second)
    return step::wait;
  if (is_majority(voters_ - refused_.size()))
    return step::wait;
  phase_ = phase::over;
  return step::lost;
}

proposal::step proposal::on_prepare_answer(size_t from, const answer& x) {
  if (!concerns(phase::preparing, from, x))
    return step::wait;
  if (!x.granted)
    return refused_by(from, x.state);
  if (x.state.promised != at_ || !granted_.insert(from).second)
    return step::wait;
  refused_.erase(from);
  if (const auto& found = x.state.accepted; found && (!adopted_ || *adopted_ < found->at)) {
    adopted_ = found->at;
    value_ = found->value;
    own_ = false;
  }
  if (!is_majority(granted_.size()))
    return step::wait;
  phase_ = phase::accepting;
  granted_.clear();
  refused_.clear();
  return step::send_accept;
}

proposal::step proposal::on_accept_answer(size_t from, const answer& x) {
  if (!concerns(phase::accepting, from, x))
    return step::wait;
  if (!x.granted)
    return refused_by(from, x.state);
  if (!x.state.accepted || x.state.accepted->at != at_ || !granted_.insert(from).second)
    return step::wait;
  refused_.erase(from);
  if (!is_majority(granted_.size()))
    return step::wait;
  phase_ = phase::over;
  return step::decided;
}

} // namespace kai::paxos
