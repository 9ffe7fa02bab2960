#include "actors/topology_vote.hpp"

#include <algorithm>
#include <set>

namespace kai {

namespace {

using pointer = topology_self;
using kind = topology_request::kind;

constexpr const char* topology_file = "topology";
constexpr const char* vote_file = "vote";

caf::error store_vote(topology_state& st) {
  std::string bytes;
  byte_writer out{bytes};
  out.varint(st.current.epoch);
  paxos::encode(out, st.vote);
  return st.files.write(vote_file, bytes);
}

void retry_later(pointer self) {
  auto& st = self->state;
  if (std::exchange(st.retry_due, true))
    return;
  st.attempts = std::min(st.attempts + 1, 6);
  auto spread = std::chrono::milliseconds{10 << st.attempts};
  auto wait = std::chrono::milliseconds{st.random() % static_cast<uint64_t>(spread.count()) + 5};
  self->delayed_send(self, caf::timespan{wait}, tick_atom::value);
}

/// Changes that nobody waits for any more must not be made when nobody expects them.
void drop_expired(pointer self) {
  auto& queue = self->state.queue;
  auto now = self->home_system().clock().now();
  auto late = std::stable_partition(queue.begin(), queue.end(),
                                    [&](const topology_change& x) { return now < x.until; });
  for (auto i = late; i != queue.end(); ++i)
    i->done(failure(errc::timed_out, "not enough members agreed to it in time"));
  queue.erase(late, queue.end());
}

/// Of those with one subject the last stays.
void drop_outdone(topology_state& st) {
  std::set<std::string> later;
  for (auto i = st.queue.size(); i-- > 0;) {
    auto& x = st.queue[i];
    if (x.subject.empty() || later.insert(x.subject).second)
      continue;
    x.done(failure(errc::refused, "the same was asked for again"));
    st.queue.erase(st.queue.begin() + static_cast<std::ptrdiff_t>(i));
  }
}

/// The vote ended without our value: what was proposed goes back to the queue.
void give_up(pointer self) {
  auto& st = self->state;
  st.last_round = std::max(st.last_round, st.proposal->highest_seen().round);
  st.proposal.reset();
  for (auto i = st.proposed.rbegin(); i != st.proposed.rend(); ++i)
    st.queue.push_front(std::move(*i));
  st.proposed.clear();
  drop_outdone(st);
  if (!st.queue.empty())
    retry_later(self);
}

/// Tells all members what was decided, then those who wanted it.
void tell(pointer self, const topology& decided, std::vector<topology_change> changes) {
  topology_request learn;
  learn.what = kind::learn;
  learn.epoch = decided.epoch;
  learn.value = encode_blob(decided);
  auto done = std::make_shared<std::vector<topology_change>>(std::move(changes));
  ask_members(
      self, learn, [](size_t, const caf::expected<topology_reply>&) {},
      [self, done, decided] {
        for (auto& x : *done) {
          self->state.context->log.info("decided: {}", x.description);
          x.done(decided);
        }
        next_proposal(self);
      });
}

/// Takes out of `from` what is in the topology in force, as it was sent, and what may be in one
/// before it that never came here.
void settle_sent(topology_state& st, const blob& in_force, auto& from,
                 std::vector<topology_change>& made) {
  for (auto i = from.begin(); i != from.end();) {
    auto unknown = !i->sent.empty() && i->sent_epoch < st.current.epoch;
    if (!i->sent.empty() && i->sent == in_force)
      made.push_back(std::move(*i));
    else if (unknown && i->once)
      i->done(failure(errc::timed_out, "it is not known whether the change was made"));
    else {
      if (i->sent_epoch <= st.current.epoch)
        i->sent = {};
      ++i;
      continue;
    }
    i = from.erase(i);
  }
}

/// Whoever saw to it that the topology in force was decided: the changes of this node that are in
/// it are made. To make them once more would be another change.
void settle_sent(pointer self, const blob& in_force) {
  auto& st = self->state;
  std::vector<topology_change> made;
  settle_sent(st, in_force, st.proposed, made);
  settle_sent(st, in_force, st.queue, made);
  if (!made.empty())
    tell(self, st.current, std::move(made));
}

void on_decided(pointer self) {
  auto& st = self->state;
  auto decided = decode_topology_blob(st.proposal->value());
  if (!decided || (decided->epoch == st.current.epoch + 1 && !use(self, *decided)))
    return give_up(self);
  // What it contained is settled.
  if (!st.proposed.empty())
    return give_up(self);
  st.attempts = 0;
  st.proposal.reset();
}

void on_step(pointer self, paxos::proposal::step step);

/// One phase of the vote: this node's own voice first, then the others'.
void run_phase(pointer self, kind phase) {
  auto& st = self->state;
  topology_request x;
  x.what = phase;
  x.epoch = st.proposal_epoch;
  x.at = st.proposal->at();
  if (phase == kind::accept)
    x.value = st.proposal->value();
  auto feed = [self, phase, at = x.at](size_t voter, const caf::expected<topology_reply>& reply) {
    auto& st = self->state;
    auto over = !st.proposal || st.proposal->at() != at || st.accepting != (phase == kind::accept);
    if (over || !reply)
      return;
    if (st.current.epoch >= st.proposal_epoch)
      return give_up(self);
    on_step(self, phase == kind::prepare ? st.proposal->on_prepare_answer(voter, reply->vote)
                                         : st.proposal->on_accept_answer(voter, reply->vote));
  };
  auto own = self->state.current.find(st.context->name);
  auto own_index = static_cast<size_t>(own - st.current.members.data());
  auto mine = st.vote;
  auto answer =
      phase == kind::prepare ? paxos::prepare(mine, x.at) : paxos::accept(mine, x.at, x.value);
  // What it does not accept itself it could not see through, nor know again: of one epoch it asks
  // for one value of its own.
  if (phase == kind::accept && !answer.granted)
    return give_up(self);
  std::swap(st.vote, mine);
  if (store_vote(st)) {
    std::swap(st.vote, mine);
    return give_up(self);
  }
  topology_reply reply;
  reply.vote = answer;
  auto at = x.at;
  auto under_way = [self, at, phase] {
    auto& st = self->state;
    return st.proposal && st.proposal->at() == at && st.accepting == (phase == kind::accept);
  };
  feed(own_index, reply);
  if (under_way())
    ask_members(self, x, feed, [self, under_way] {
      if (under_way())
        give_up(self);
    });
}

void on_step(pointer self, paxos::proposal::step step) {
  auto& st = self->state;
  switch (step) {
  case paxos::proposal::step::wait: return;
  case paxos::proposal::step::send_accept:
    st.accepting = true;
    if (st.proposal->is_own_value())
      for (auto& x : st.proposed) {
        x.sent = st.proposal->value();
        x.sent_epoch = st.proposal_epoch;
      }
    return run_phase(self, kind::accept);
  case paxos::proposal::step::decided: return on_decided(self);
  case paxos::proposal::step::lost: return give_up(self);
  }
}

} // namespace

caf::error load_topology(topology_state& st) {
  auto bytes = st.files.read(topology_file);
  if (!bytes)
    return bytes.error();
  if (!*bytes)
    return caf::none;
  auto stored = decode_topology_blob(blob::copy_of(**bytes));
  if (!stored)
    return stored.error();
  auto vote_bytes = st.files.read(vote_file);
  if (!vote_bytes)
    return vote_bytes.error();
  if (*vote_bytes) {
    byte_reader in{std::string_view{**vote_bytes}};
    auto epoch = in.varint();
    auto vote = paxos::decode_vote(in);
    if (!in.done())
      return failure(errc::damaged, "the stored vote is damaged");
    if (epoch == stored->epoch)
      st.vote = vote;
  }
  st.current = std::move(*stored);
  return caf::none;
}

bool is_member(const topology_state& st) {
  auto own = st.current.find(st.context->name);
  return own && own->id == st.context->id;
}

caf::expected<std::optional<member>> member_of(const node_directory& directory) {
  auto bytes = directory.read_file(topology_file);
  if (!bytes)
    return std::move(bytes.error());
  if (!*bytes)
    return std::optional<member>{};
  auto stored = decode_topology_blob(blob::copy_of(**bytes));
  if (!stored)
    return std::move(stored.error());
  auto own = stored->find(directory.identity().name);
  return own && own->id == directory.identity().node ? std::optional{*own} : std::nullopt;
}

bool use(topology_self self, topology decided) {
  auto& st = self->state;
  auto bytes = encode_blob(decided);
  if (auto err = st.files.write(topology_file, bytes.str())) {
    st.context->log.error("can not store topology {}: {}", decided.epoch, message_of(err));
    return false;
  }
  auto was_member = is_member(st);
  st.current = std::move(decided);
  st.vote = {};
  st.context->use(st.current);
  if (was_member && !is_member(st)) {
    st.context->log.info("this node is no member of the cluster any more");
    st.context->left = true;
  }
  st.context->log.info("topology {}: {} members", st.current.epoch, st.current.members.size());
  self->send(st.membership, st.current);
  settle_sent(self, bytes);
  if (is_member(st))
    for (auto& x : std::exchange(st.starting, {}))
      x.deliver(true);
  return true;
}

void use_if_newer(topology_self self, const blob& bytes) {
  auto& st = self->state;
  if (bytes.empty() || st.age_unsettled)
    return;
  auto decided = decode_topology_blob(bytes);
  if (!decided)
    return st.context->log.error("a topology that was sent is not usable: {}",
                                 message_of(decided.error()));
  if (decided->epoch <= st.current.epoch)
    return;
  if (st.current.epoch != 0 && decided->cluster_id != st.current.cluster_id)
    return st.context->log.error("a topology of another cluster was sent: ignored");
  use(self, std::move(*decided));
}

void ask_members(topology_self self, const topology_request& x,
                 std::function<void(size_t, const caf::expected<topology_reply>&)> on_reply,
                 std::function<void()> on_all) {
  auto& st = self->state;
  std::vector<std::pair<member_index, call>> calls;
  std::vector<member_index> members;
  if (st.view)
    for (size_t i = 0; i < st.view->topo.members.size(); ++i)
      if (i != st.view->self) {
        members.push_back(static_cast<member_index>(i));
        calls.emplace_back(members.back(), call{});
        calls.back().second.what = service_call{"topology", encode_text(x)};
      }
  auto each = [self, members, on_reply = std::move(on_reply)](size_t position, answer& x) {
    caf::expected<topology_reply> reply{failure(errc::peer_down, "not reachable")};
    if (auto text = std::get_if<text_answer>(&x.what))
      reply = decode_topology_reply(text->text);
    else if (auto why = std::get_if<failed_answer>(&x.what))
      reply = failure(why->reason, why->message.empty() ? to_string(why->reason) : why->message);
    if (reply)
      use_if_newer(self, reply->newer);
    on_reply(members[position], reply);
  };
  st.surveys.ask(self, st.view.get(), std::move(calls), std::move(each), std::move(on_all));
}

caf::result<std::string> answer_member(topology_self self, const topology_request& x) {
  auto& st = self->state;
  topology_reply reply;
  switch (x.what) {
  case kind::get: break;
  case kind::learn: use_if_newer(self, x.value); break;
  case kind::prepare:
  case kind::accept: {
    if (x.epoch != st.current.epoch + 1 || !is_member(st))
      break;
    if (x.what == kind::accept)
      if (auto proposed = decode_topology_blob(x.value); !proposed)
        return proposed.error();
    auto mine = st.vote;
    auto answer =
        x.what == kind::prepare ? paxos::prepare(mine, x.at) : paxos::accept(mine, x.at, x.value);
    if (answer.granted) {
      std::swap(st.vote, mine);
      if (auto err = store_vote(st)) {
        std::swap(st.vote, mine);
        return err;
      }
      if (x.what == kind::accept) {
        st.accepted_at = self->home_system().clock().now();
        self->delayed_send(self, caf::timespan{limits::vote_patience}, tick_atom::value);
      }
    }
    reply.vote = answer;
    break;
  }
  }
  reply.epoch = st.current.epoch;
  if (st.current.epoch > x.epoch ||
      (st.current.epoch == x.epoch && (x.what == kind::prepare || x.what == kind::accept)))
    reply.newer = encode_blob(st.current);
  return encode_text(reply);
}

void next_proposal(topology_self self) {
  auto& st = self->state;
  drop_expired(self);
  auto ready = st.view && st.view->topo.epoch == st.current.epoch && is_member(st);
  if (st.proposal || st.queue.empty() || !ready || st.retry_due)
    return;
  auto value = st.current;
  for (auto& change : std::exchange(st.queue, {})) {
    auto next = change.apply(value);
    // What breaks the rules must never win a vote: the epoch could not be used, nor be voted on
    // again.
    if (next)
      if (auto err = validate(*next))
        next = std::move(err);
    if (!next) {
      change.done(next.error());
      continue;
    }
    value = std::move(*next);
    // Several changes are one epoch.
    value.epoch = st.current.epoch + 1;
    for (auto& epoch : value.changed_at)
      epoch = std::min(epoch, value.epoch);
    st.proposed.push_back(std::move(change));
  }
  if (st.proposed.empty())
    return;
  st.proposal_epoch = st.current.epoch + 1;
  st.last_round = std::max(st.last_round, st.vote.promised.round) + 1;
  st.accepting = false;
  st.proposal.emplace(paxos::ballot{st.last_round, st.context->id}, st.current.members.size(),
                      encode_blob(value));
  run_phase(self, kind::prepare);
}

void propose(topology_self self, topology_change change) {
  self->state.queue.push_back(std::move(change));
  drop_outdone(self->state);
  next_proposal(self);
}

} // namespace kai
