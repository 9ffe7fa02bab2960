#include "actors/client_answers.hpp"

#include <algorithm>

#include "protocol/memcache/binary_reply.hpp"
#include "protocol/memcache/meta_reply.hpp"

namespace kai {

namespace {

using slot = connection_state::slot;
using memcache::codec;
using memcache::verb;

/// As memcached does: to count what is no number is neither hit nor miss, and what sets an expiry
/// while it reads is a touch.
void count_outcome(counters& count, const slot& s, const outcome& x) {
  auto missed = x.kind == outcome_kind::not_found;
  auto count_one = [&](uint64_t& hits, uint64_t& misses) {
    hits += x.changes();
    misses += missed;
  };
  count.stored += x.kind == outcome_kind::stored;
  switch (s.op) {
  case verb::meta_get:
    if (s.extras.sets_exptime && !missed) {
      ++count.cmd_touch;
      ++count.touch_hits;
      break;
    }
    ++count.cmd_get;
    ++(missed ? count.get_misses : count.get_hits);
    break;
  case verb::noop: break;
  case verb::remove: ++(x.changes() ? count.delete_hits : count.delete_misses); break;
  case verb::incr: count_one(count.incr_hits, count.incr_misses); break;
  case verb::decr: count_one(count.decr_hits, count.decr_misses); break;
  case verb::touch:
  case verb::gat:
  case verb::gats:
    ++count.cmd_touch;
    ++(missed ? count.touch_misses : count.touch_hits);
    break;
  case verb::cas:
    ++count.cmd_set;
    ++(missed                           ? count.cas_misses
       : x.kind == outcome_kind::exists ? count.cas_badval
                                        : count.cas_hits);
    break;
  default: ++count.cmd_set;
  }
}

void count_read(counters& count, const version* found, bool hit, timestamp now) {
  ++count.cmd_get;
  ++(hit ? count.get_hits : count.get_misses);
  if (hit || !found || found->tombstone)
    return;
  ++(found->expires != 0 && found->expires <= now ? count.get_expired : count.get_flushed);
}

/// The client got the value: what `mg h` and `mg l` say next.
void note_access(connection_state& st, const slot& s, timestamp written, timestamp now) {
  if (!s.extras.leaves_no_trace)
    st.loop->access.note(s.hash, written, now);
}

void write_record(connection_state& st, slot& s, const record& x, memcache::output& out) {
  auto& context = st.loop->context();
  auto now = context.wall_clock();
  auto flushed = context.flushed();
  auto binary = s.form.through == codec::binary;
  auto before = out.size();
  auto winner = latest(x);
  auto hit = winner && visible(*winner, now, flushed);
  if (binary && hit) {
    memcache::append_hit(out, s.form, s.op, s.key.view(), *winner, cas_unique(x));
  } else if (binary) {
    memcache::append_miss(out, s.form, s.key.view());
  } else if (context.options.cluster.conflicts == conflicts_mode::siblings) {
    auto cas = s.op == verb::gets ? cas_unique(x) : 0;
    for (auto& v : x.versions)
      if (visible(v, now, flushed))
        memcache::append_value(out, s.key.view(), v, cas);
    hit = out.size() != before;
  } else if (hit) {
    memcache::append_value(out, s.key.view(), *winner, s.op == verb::gets ? cas_unique(x) : 0);
  }
  count_read(st.loop->count, winner, hit, now);
  if (hit)
    note_access(st, s, value_clock(*winner), now);
}

// --- meta commands -------------------------------------------------------------------------------

memcache::meta_question question_of(const connection_state& st, const slot& s) {
  return {s.op,
          s.form.quiet,
          s.extras.binary_key,
          s.key.view(),
          s.argument,
          s.write ? &*s.write : nullptr,
          st.loop->context().wall_clock()};
}

/// What `mg` found, whether it read or wrote. `cas`: of the record.
void write_fetched(connection_state& st, slot& s, const outcome& x, uint64_t cas,
                   memcache::output& out) {
  auto question = question_of(st, s);
  if (x.kind != outcome_kind::value)
    return memcache::append_not_fetched(out, question);
  auto written = memcache::fetched_written(x, cas);
  auto access = st.loop->access.of(s.hash, written);
  memcache::append_fetched(out, question, *x.found, cas, static_cast<fetch_result>(x.number),
                           access);
  note_access(st, s, written, question.now);
}

void write_meta_record(connection_state& st, slot& s, const record& x, memcache::output& out) {
  auto& context = st.loop->context();
  auto now = context.wall_clock();
  auto found = latest(x);
  auto hit = found && visible(*found, now, context.flushed());
  if (s.op == verb::meta_debug) {
    if (!hit)
      return memcache::append(out, "EN\r\n");
    auto access = st.loop->access.of(s.hash, value_clock(*found));
    return memcache::append_debug(out, s.key.view(), *found, cas_unique(x), access, now);
  }
  count_read(st.loop->count, found, hit, now);
  write_fetched(st, s, decide(*s.write, x, {now, context.flushed()}).answer, cas_unique(x), out);
}

void write_meta_outcome(connection_state& st, slot& s, const outcome& x, memcache::output& out) {
  count_outcome(st.loop->count, s, x);
  if (s.op == verb::meta_get)
    return write_fetched(st, s, x, x.cas, out);
  if (x.kind == outcome_kind::number)
    st.loop->access.carry_over(s.hash, x.cas >> cas_clock_shift);
  memcache::append_outcome(out, question_of(st, s), x);
}

// --- outcomes ------------------------------------------------------------------------------------

void write_outcome(connection_state& st, slot& s, const outcome& x, memcache::output& out) {
  count_outcome(st.loop->count, s, x);
  auto binary = s.form.through == codec::binary;
  if (x.kind == outcome_kind::value) {
    note_access(st, s, value_clock(*x.found), st.loop->context().wall_clock());
    if (binary)
      memcache::append_hit(out, s.form, s.op, s.key.view(), *x.found, x.cas);
    else
      memcache::append_value(out, s.key.view(), *x.found, s.op == verb::gats ? x.cas : 0);
    return;
  }
  if (x.kind == outcome_kind::number)
    st.loop->access.carry_over(s.hash, x.cas >> cas_clock_shift);
  if (binary)
    memcache::append_outcome(out, s.form, s.op, x, s.key.view());
  else
    memcache::append_outcome(out, s.op, x);
}

} // namespace

bool calls_for_write(const connection_state& st, const slot& s, const response& x) {
  auto found = std::get_if<record>(&x.what);
  auto& context = st.loop->context();
  return found &&
         decide(*s.write, *found, {context.wall_clock(), context.flushed()}).next.has_value();
}

void write_response(connection_state& st, slot& s, const response& x, memcache::output& out) {
  auto meta = s.form.through == codec::meta;
  if (auto why = std::get_if<failed_answer>(&x.what)) {
    s.failed = true;
    st.loop->count.no_memory += why->reason == errc::out_of_memory;
    auto text = why->message.empty() ? to_string(why->reason) : why->message;
    if (s.write && !s.reads_first)
      text += why->unchanged ? "; nothing was changed" : "; the change may have happened";
    write_failure(s, failure(why->reason, text), out);
  } else if (auto found = std::get_if<record>(&x.what)) {
    if (meta)
      write_meta_record(st, s, *found, out);
    else
      write_record(st, s, *found, out);
  } else if (meta) {
    write_meta_outcome(st, s, std::get<outcome>(x.what), out);
  } else {
    write_outcome(st, s, std::get<outcome>(x.what), out);
  }
  if (s.ends && !s.failed)
    memcache::append(out, "END\r\n");
}

void write_failure(slot& s, const caf::error& err, memcache::output& out) {
  if (s.form.through == codec::binary)
    memcache::append_failure(out, s.form, err);
  else
    memcache::append_failure(out, err);
}

void write_done(slot& s) {
  if (s.form.through == codec::binary)
    memcache::append_packet(s.text, s.form, memcache::binary_status::success);
  else
    memcache::append(s.text, "OK\r\n");
}

void write_stats(slot& s, std::string_view text) {
  if (s.form.through == codec::binary)
    memcache::append_stats(s.text, s.form, text);
  else
    memcache::append(s.text, text);
}

} // namespace kai
