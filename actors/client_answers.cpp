#include "actors/client_answers.hpp"

#include <algorithm>

namespace kai {

namespace {

using slot = connection_state::slot;
using memcache::verb;

void count_outcome(counters& count, verb op, const outcome& x) {
  auto hit = x.kind != outcome_kind::not_found;
  switch (op) {
  case verb::remove: ++(hit ? count.delete_hits : count.delete_misses); break;
  case verb::incr: ++(hit ? count.incr_hits : count.incr_misses); break;
  case verb::decr: ++(hit ? count.decr_hits : count.decr_misses); break;
  case verb::touch:
    ++count.cmd_touch;
    ++(hit ? count.touch_hits : count.touch_misses);
    break;
  case verb::gat:
  case verb::gats:
    ++count.cmd_touch;
    ++count.cmd_get;
    ++(hit ? count.get_hits : count.get_misses);
    ++(hit ? count.touch_hits : count.touch_misses);
    break;
  case verb::cas:
    ++count.cmd_set;
    ++(!hit                             ? count.cas_misses
       : x.kind == outcome_kind::exists ? count.cas_badval
                                        : count.cas_hits);
    break;
  default: ++count.cmd_set;
  }
}

void write_record(connection_state& st, slot& s, const record& x, memcache::output& out) {
  auto& context = st.loop->context();
  auto& count = st.loop->count;
  auto now = context.wall_clock();
  auto flushed = context.flushed();
  auto cas = s.op == verb::gets ? cas_unique(x) : 0;
  auto before = out.size();
  ++count.cmd_get;
  auto winner = latest(x);
  if (context.options.cluster.conflicts == conflicts_mode::siblings) {
    for (auto& v : x.versions)
      if (visible(v, now, flushed))
        memcache::append_value(out, s.key.view(), v, cas);
  } else if (winner && visible(*winner, now, flushed)) {
    memcache::append_value(out, s.key.view(), *winner, cas);
  }
  if (out.size() != before) {
    ++count.get_hits;
    st.answer_estimate = std::max(out.size() - before, st.answer_estimate * 7 / 8);
    return;
  }
  ++count.get_misses;
  if (winner && !winner->tombstone && winner->expires != 0 && winner->expires <= now)
    ++count.get_expired;
  else if (winner && !winner->tombstone)
    ++count.get_flushed;
}

void write_outcome(connection_state& st, slot& s, const outcome& x, memcache::output& out) {
  count_outcome(st.loop->count, s.op, x);
  if (x.kind == outcome_kind::value)
    memcache::append_value(out, s.key.view(), *x.found, s.op == verb::gats ? x.cas : 0);
  else if (s.op != verb::gat && s.op != verb::gats)
    memcache::append_outcome(out, s.op, x);
}

} // namespace

void write_response(connection_state& st, slot& s, const response& x, memcache::output& out) {
  if (auto why = std::get_if<failed_answer>(&x.what)) {
    s.failed = true;
    auto text = why->message.empty() ? to_string(why->reason) : why->message;
    if (s.write)
      text += why->unchanged ? "; nothing was changed" : "; the change may have happened";
    memcache::append_failure(out, failure(why->reason, text));
  } else if (auto found = std::get_if<record>(&x.what)) {
    write_record(st, s, *found, out);
  } else {
    write_outcome(st, s, std::get<outcome>(x.what), out);
  }
  if (s.ends && !s.failed)
    memcache::append(out, "END\r\n");
}

} // namespace kai
