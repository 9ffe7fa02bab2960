// long: memcached's rules written again, beside the search that uses them
#include "test/support/linearizability.hpp"

#include <algorithm>
#include <deque>
#include <functional>
#include <iterator>
#include <unordered_set>

#include "protocol/memcache/number.hpp"

namespace kai::test {

namespace {

/// A key as memcached has it.
struct key_state {
  bool present = false;
  std::string value;
  uint32_t flags = 0;
  /// Of the value; 0: nobody has seen it yet.
  uint64_t cas = 0;
  /// The greatest that any value had so far, as far as known.
  uint64_t floor = 0;

  void append_to(std::string& out) const {
    auto number = [&](uint64_t x) { out.append(reinterpret_cast<const char*>(&x), sizeof x); };
    out.push_back(present ? 1 : 0);
    number(flags);
    number(cas);
    number(floor);
    out.append(value);
  }
};

using next_state = std::optional<key_state>;

void remove(key_state& s) {
  s.present = false;
  s.value.clear();
  s.flags = 0;
  s.cas = 0;
}

/// A unique without the digest of the versions that stand beside the winner.
uint64_t clock_of(uint64_t cas) { return cas >> 12; }

/// A write that nobody knows the end of may have left a version behind the winner.
bool has_unknown_end(const key_history& history) {
  return std::any_of(history.begin(), history.end(), [](auto& x) {
    return x.what == operation::kind::write && x.end == operation::ending::unknown;
  });
}

/// What depends on whether there were faults, and writes with an unknown end.
class rules {
public:
  rules(faults some, bool unknown_ends)
      : some_(some), digests_change_(unknown_ends || some == faults::yes) {}

  /// The value has this unique, as somebody says: false when it can not.
  bool has(key_state& s, uint64_t cas) const {
    if (s.cas != 0 && !same_value(s.cas, cas))
      return false;
    if (s.cas == 0 && (digests_change_ ? clock_of(cas) <= clock_of(s.floor) : cas <= s.floor))
      return false;
    s.cas = s.floor = cas;
    return true;
  }

  /// Whether a comparison with the key's unique holds; where nobody has seen the unique, or it may
  /// be another one by now, what was answered tells.
  bool matches(key_state& s, const operation& x) const {
    auto said_so = x.end == operation::ending::unknown || x.result.kind != outcome_kind::exists;
    if (s.cas == 0)
      return said_so && has(s, x.change.compare);
    if (s.cas == x.change.compare)
      return said_so || !digests_change_;
    return said_so && same_value(s.cas, x.change.compare);
  }

  /// A delete of nothing.
  bool may_say(outcome_kind said, outcome_kind expected, mutation_kind kind) const {
    return said == expected ||
           (some_ == faults::yes && kind == mutation_kind::remove && said == outcome_kind::deleted);
  }

private:
  bool same_value(uint64_t a, uint64_t b) const {
    return a == b || (digests_change_ && clock_of(a) == clock_of(b));
  }

  faults some_;
  bool digests_change_;
};

/// What memcached answers to a change and what it leaves.
struct effect {
  outcome_kind answer;
  bool new_value = false;
  bool keeps_value = false;
  key_state after;
  uint64_t number = 0;
};

effect put(const key_state& s, std::string value, uint32_t flags) {
  effect e{outcome_kind::stored, true, false, s, 0};
  e.after.present = true;
  e.after.value = std::move(value);
  e.after.flags = flags;
  e.after.cas = 0;
  return e;
}

effect count(const key_state& s, const mutation& m) {
  auto n = memcache::read_unsigned(s.value);
  if (!n)
    return {outcome_kind::not_a_number, false, false, s, 0};
  auto result =
      m.kind == mutation_kind::increment ? *n + m.delta : *n - std::min<uint64_t>(*n, m.delta);
  auto text = std::to_string(result);
  text.resize(std::max(text.size(), s.value.size()), ' ');
  auto e = put(s, std::move(text), s.flags);
  e.answer = outcome_kind::number;
  e.number = result;
  return e;
}

effect change_present(const key_state& s, const mutation& m) {
  auto value = m.value.str();
  switch (m.kind) {
  case mutation_kind::add: return {outcome_kind::not_stored, false, false, s, 0};
  case mutation_kind::append: return put(s, s.value + value, s.flags);
  case mutation_kind::prepend: return put(s, value + s.value, s.flags);
  case mutation_kind::increment:
  case mutation_kind::decrement: return count(s, m);
  case mutation_kind::touch: return {outcome_kind::touched, false, true, s, 0};
  case mutation_kind::get_and_touch: return {outcome_kind::value, false, true, s, 0};
  case mutation_kind::remove: {
    effect e{outcome_kind::deleted, false, false, s, 0};
    remove(e.after);
    return e;
  }
  default: return put(s, value, m.flags);
  }
}

effect change_absent(const key_state& s, const mutation& m) {
  switch (m.kind) {
  case mutation_kind::set:
  case mutation_kind::add: return put(s, m.value.str(), m.flags);
  case mutation_kind::replace:
  case mutation_kind::append:
  case mutation_kind::prepend: return {outcome_kind::not_stored, false, false, s, 0};
  default: return {outcome_kind::not_found, false, false, s, 0};
  }
}

bool expires(const mutation& m) {
  switch (m.kind) {
  case mutation_kind::set:
  case mutation_kind::add:
  case mutation_kind::replace:
  case mutation_kind::compare_and_set:
  case mutation_kind::touch:
  case mutation_kind::get_and_touch: return m.expires != 0;
  default: return false;
  }
}

next_state after_write(key_state s, const operation& x, const rules& by) {
  auto& m = x.change;
  auto compares = m.compare != 0 || m.kind == mutation_kind::compare_and_set;
  auto e = !s.present                      ? change_absent(s, m)
           : compares && !by.matches(s, x) ? effect{outcome_kind::exists, false, false, s, 0}
                                           : change_present(s, m);
  auto& after = e.after;
  if (x.end == operation::ending::answered) {
    auto& r = x.result;
    if (!by.may_say(r.kind, e.answer, m.kind) ||
        (r.kind == outcome_kind::number && r.number != e.number))
      return std::nullopt;
    if (e.answer == outcome_kind::value &&
        (!r.found || r.found->value.view() != s.value || r.found->flags != s.flags))
      return std::nullopt;
    if ((e.new_value || e.keeps_value) && !by.has(after, r.cas))
      return std::nullopt;
  }
  if ((e.new_value || e.keeps_value) && expires(m))
    remove(after);
  return after;
}

next_state after(const key_state& before, const operation& x, const rules& by) {
  auto s = before;
  switch (x.what) {
  case operation::kind::flush: remove(s); return s;
  case operation::kind::write: return after_write(std::move(s), x, by);
  case operation::kind::read: break;
  }
  if (x.end == operation::ending::unknown)
    return s;
  if (x.seen.has_value() != s.present)
    return std::nullopt;
  if (s.present &&
      (x.seen->value != s.value || x.seen->flags != s.flags || !by.has(s, x.seen->cas)))
    return std::nullopt;
  return s;
}

/// A coordinator asks up to three replicas to lead a write.
constexpr int attempts_before = 2;

/// Configurations that are looked at before a search gives up: seconds.
constexpr size_t tried_max = 300'000;

class search {
public:
  search(const key_history& history, faults some) : rules_(some, has_unknown_end(history)) {
    if (some == faults::yes)
      add_first_attempts(history);
    for (auto& x : history)
      if (x.end != operation::ending::refused)
        operations_.push_back(&x);
      else if (x.what == operation::kind::write)
        refused_.push_back(&x);
    for (auto* x : operations_)
      definite_ += x->end == operation::ending::answered;
    for (auto& [first, second] : twins_)
      operations_.push_back(&first);
    std::sort(operations_.begin(), operations_.end(),
              [](auto* a, auto* b) { return a->sent < b->sent; });
    main_of_.assign(operations_.size(), SIZE_MAX);
    done_.assign(operations_.size(), 0);
    link_twins();
  }

  bool run() { return explore({}, 0, 0); }
  bool gave_up() const { return tried_.size() > tried_max; }

  std::string explanation() {
    std::string text;
    for (auto*& x : operations_) {
      if (main_of_[static_cast<size_t>(&x - operations_.data())] != SIZE_MAX)
        continue;
      auto in = std::find(best_.begin(), best_.end(), x) != best_.end();
      text += (in ? "    " : "  ! ") + to_string(*x) + "\n";
    }
    for (auto* x : refused_)
      text += "    not to have happened: " + to_string(*x) + "\n";
    text += "  the longest order found has " + std::to_string(best_.size()) + " of " +
            std::to_string(operations_.size()) + " (those not in it are marked); it ends with\n";
    for (size_t i = best_.size() < 8 ? 0 : best_.size() - 8; i < best_.size(); ++i)
      text += "    " + to_string(*best_[i]) + "\n";
    return text;
  }

private:
  /// What repeatable writes may have done before they did what was answered.
  void add_first_attempts(const key_history& history) {
    for (auto& x : history)
      if (x.what == operation::kind::write && x.end != operation::ending::refused &&
          repeatable(x.change))
        for (int i = 0; i < attempts_before; ++i) {
          auto first = x;
          first.end = operation::ending::unknown;
          first.answered = operation::never;
          twins_.emplace_back(std::move(first), &x);
        }
  }

  void link_twins() {
    for (auto& [first, second] : twins_) {
      auto at = [&](const operation* x) {
        return static_cast<size_t>(std::find(operations_.begin(), operations_.end(), x) -
                                   operations_.begin());
      };
      main_of_[at(&first)] = at(second);
    }
  }

  /// Whether it can come next at all: a first attempt comes before the second.
  bool open(size_t i) const {
    return !done_[i] && (main_of_[i] == SIZE_MAX || !done_[main_of_[i]]);
  }

  /// `first`: all before it are in the order. `placed`: answered ones that are.
  bool explore(const key_state& s, size_t first, size_t placed) {
    if (placed == definite_ || tried_.size() > tried_max)
      return true;
    while (first < done_.size() && done_[first])
      ++first;
    if (!remember(s))
      return false;
    // Whatever comes next was sent before the earliest answer among those that are left.
    auto bound = operation::never;
    for (auto i = first; i < operations_.size() && operations_[i]->sent < bound; ++i)
      if (!done_[i])
        bound = std::min(bound, operations_[i]->answered);
    // What may never have happened is tried last: it is seldom needed.
    for (auto answered : {true, false})
      for (auto i = first; i < operations_.size() && operations_[i]->sent < bound; ++i) {
        if (!open(i) || answered != (operations_[i]->end == operation::ending::answered))
          continue;
        auto next = after(s, *operations_[i], rules_);
        if (!next)
          continue;
        done_[i] = 1;
        order_.push_back(operations_[i]);
        if (order_.size() > best_.size())
          best_ = order_;
        if (explore(*next, first, placed + (answered ? 1 : 0)))
          return true;
        order_.pop_back();
        done_[i] = 0;
      }
    return false;
  }

  /// False: from here it was tried before, in vain.
  bool remember(const key_state& s) {
    std::string mark{done_.begin(), done_.end()};
    s.append_to(mark);
    return tried_.insert(std::move(mark)).second;
  }

  rules rules_;
  std::vector<const operation*> operations_;
  std::vector<const operation*> refused_;
  std::deque<std::pair<operation, const operation*>> twins_;
  /// Of a first attempt, the index of the second.
  std::vector<size_t> main_of_;
  std::vector<char> done_;
  std::vector<const operation*> order_;
  std::vector<const operation*> best_;
  size_t definite_ = 0;
  std::unordered_set<std::string> tried_;
};

const char* name_of(mutation_kind x) {
  switch (x) {
  case mutation_kind::set: return "set";
  case mutation_kind::add: return "add";
  case mutation_kind::replace: return "replace";
  case mutation_kind::append: return "append";
  case mutation_kind::prepend: return "prepend";
  case mutation_kind::compare_and_set: return "cas";
  case mutation_kind::increment: return "incr";
  case mutation_kind::decrement: return "decr";
  case mutation_kind::touch: return "touch";
  case mutation_kind::get_and_touch: return "gats";
  case mutation_kind::fetch: return "mg";
  case mutation_kind::invalidate: return "md";
  case mutation_kind::remove: break;
  }
  return "delete";
}

std::string name_of(const outcome& x) {
  switch (x.kind) {
  case outcome_kind::stored: return "STORED";
  case outcome_kind::not_stored: return "NOT_STORED";
  case outcome_kind::exists: return "EXISTS";
  case outcome_kind::not_found: return "NOT_FOUND";
  case outcome_kind::deleted: return "DELETED";
  case outcome_kind::touched: return "TOUCHED";
  case outcome_kind::number: return std::to_string(x.number);
  case outcome_kind::not_a_number: return "not a number";
  case outcome_kind::too_large: return "too large";
  case outcome_kind::value: break;
  }
  return x.found ? "'" + x.found->value.str() + "' flags " + std::to_string(x.found->flags) : "?";
}

std::string call_text(const operation& x) {
  if (x.what == operation::kind::flush)
    return "flush_all";
  if (x.what == operation::kind::read)
    return "gets";
  auto& m = x.change;
  std::string text = name_of(m.kind);
  if (m.kind == mutation_kind::increment || m.kind == mutation_kind::decrement)
    text += " " + std::to_string(m.delta);
  else if (m.value.size() > 0)
    text += " '" + m.value.str() + "'";
  if (m.flags != 0)
    text += " flags " + std::to_string(m.flags);
  if (m.expires != 0)
    text += " expired";
  if (m.compare != 0)
    text += " if cas " + std::to_string(m.compare);
  return text;
}

std::string answer_text(const operation& x) {
  if (x.end != operation::ending::answered)
    return x.failure.empty() ? "no answer" : x.failure;
  if (x.what == operation::kind::flush)
    return "OK";
  if (x.what == operation::kind::write)
    return name_of(x.result) + (x.result.cas ? " cas " + std::to_string(x.result.cas) : "");
  return x.seen ? "'" + x.seen->value + "' flags " + std::to_string(x.seen->flags) + " cas " +
                      std::to_string(x.seen->cas)
                : "END";
}

} // namespace

std::string to_string(const operation& x) {
  auto until = x.answered == operation::never ? "..." : std::to_string(x.answered);
  return "[" + std::to_string(x.sent) + ", " + until + "] client " + std::to_string(x.client) +
         " at n" + std::to_string(x.node) + ": " + call_text(x) + " -> " + answer_text(x);
}

verdict check_linearizable(const key_history& history, faults some) {
  search s{history, some};
  if (s.run())
    return {true, s.gave_up(), {}};
  return {false, false, s.explanation()};
}

verdict check_regular(const key_history& history) {
  auto only_looks = [](const operation& x) {
    return x.what == operation::kind::read ||
           (x.what == operation::kind::write && x.end == operation::ending::answered &&
            !x.result.changes());
  };
  key_history changes;
  std::copy_if(history.begin(), history.end(), std::back_inserter(changes),
               std::not_fn(only_looks));
  auto result = check_linearizable(changes);
  for (auto& x : history) {
    if (!result.legal)
      break;
    if (!only_looks(x))
      continue;
    changes.push_back(x);
    result = check_linearizable(changes);
    changes.pop_back();
  }
  return result;
}

} // namespace kai::test
