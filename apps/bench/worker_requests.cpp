#include <charconv>

#include "apps/bench/worker.hpp"
#include "protocol/errc.hpp"
#include "protocol/hash.hpp"

namespace kai::bench {

namespace {

void append_number(std::string& out, uint64_t number) {
  char digits[20];
  auto [end, error] = std::to_chars(digits, digits + sizeof digits, number);
  out.append(digits, static_cast<size_t>(end - digits));
}

} // namespace

bool worker::append_next(connection& c, nanos now) {
  if (phase_ != phase::preload) {
    if (now >= end_)
      return false;
    append_run_request(c, now, now);
    return true;
  }
  request r;
  if (!retries_.empty() && retries_.front().due <= now) {
    r.key = retries_.front().key;
    r.attempt = retries_.front().attempt;
    retries_.pop_front();
  } else if (preload_next_ < options_.keys) {
    r.key = preload_next_;
    preload_next_ += options_.threads;
  } else {
    return false;
  }
  r.kind = request_kind::set;
  r.intended = r.sent = now;
  append_set(r);
  c.queue.push(r);
  ++in_flight_;
  ++totals_.requests_sent;
  return true;
}

void worker::append_run_request(connection& c, nanos now, nanos intended) {
  request r;
  r.key = context_.chooser->next(random_);
  r.kind = always_get_ || random_.next() < get_threshold_ ? request_kind::get : request_kind::set;
  r.intended = intended;
  r.sent = now;
  r.measured = intended >= measure_begin_ && intended < end_;
  if (r.kind == request_kind::get)
    append_get(r);
  else
    append_set(r);
  c.queue.push(r);
  ++in_flight_;
  ++totals_.requests_sent;
}

void worker::append_get(request& r) {
  auto meta = options_.protocol == protocol_kind::meta;
  output_.append(meta ? "mg " : "get ");
  context_.names->append_to(output_, r.key);
  output_.append(meta ? " v\r\n" : "\r\n");
  if (context_.history != nullptr)
    r.floor = context_.history->floor(r.key);
}

void worker::append_set(request& r) {
  auto meta = options_.protocol == protocol_kind::meta;
  output_.append(meta ? "ms " : "set ");
  auto key_start = output_.size();
  context_.names->append_to(output_, r.key);
  auto hash = key_hash(std::string_view{output_}.substr(key_start));
  output_.append(meta ? " " : " 0 0 ");
  if (context_.history != nullptr)
    r.write = context_.history->begin_write(r.key);
  else
    r.write.version = ++writes_;
  auto bytes = options_.value_bytes_min;
  if (options_.value_bytes_max > bytes)
    bytes += mix(hash + r.write.version) % (options_.value_bytes_max - bytes + 1);
  append_number(output_, bytes);
  output_.append("\r\n");
  context_.maker->append_to(output_, hash, {context_.run, r.write.version}, bytes);
  output_.append("\r\n");
}

void worker::retry_later(const request& r, std::string_view why, nanos now) {
  auto attempt = r.attempt + 1;
  if (attempt < limits::preload_attempts_max) {
    ++totals_.preload_retries;
    auto wait = std::chrono::nanoseconds{limits::preload_retry_wait}.count() * attempt;
    retries_.push_back({r.key, attempt, now + wait});
  } else if (!preload_error_) {
    preload_error_ = failure(errc::refused, "preload: key '" + context_.names->name(r.key) +
                                                "' was not stored in " + std::to_string(attempt) +
                                                " attempts: " + std::string{why});
  }
}

void worker::value_begin(std::string_view key, uint64_t bytes) {
  if (context_.history == nullptr || current_->queue.empty())
    return;
  scratch_key_.clear();
  context_.names->append_to(scratch_key_, current_->queue.front().key);
  if (!key.empty() && key != scratch_key_)
    current_->checked.wrong = true;
  current_->checker.begin(key_hash(scratch_key_), bytes);
}

void worker::value_piece(std::string_view piece) {
  if (context_.history != nullptr)
    current_->checker.feed(piece);
}

void worker::value_end() {
  if (context_.history == nullptr || current_->queue.empty())
    return;
  auto& checked = current_->checked;
  auto stamp = current_->checker.finish();
  if (!stamp) {
    checked.wrong = true;
    return;
  }
  const auto& r = current_->queue.front();
  switch (context_.history->check(r.key, r.floor, *stamp)) {
  case history::verdict::fine: checked.fine = true; break;
  case history::verdict::stale: checked.stale = true; break;
  case history::verdict::wrong: checked.wrong = true; break;
  }
}

bool worker::answered(outcome how, std::string_view line) {
  auto& c = *current_;
  if (c.queue.empty()) {
    totals_.connection_errors.add_line(line);
    return false;
  }
  const auto& r = c.queue.front();
  auto fits = r.kind == request_kind::get ? how != outcome::stored
                                          : how == outcome::stored || how == outcome::refused;
  if (!fits)
    return false;
  last_answer_ = now_;
  ++totals_.requests_answered;
  c.prosper();
  if (how == outcome::refused && phase_ == phase::preload) {
    retry_later(r, line, now_);
  } else if (how == outcome::refused) {
    if (r.measured) {
      ++(r.kind == request_kind::get ? counted_.gets : counted_.sets).errors;
      totals_.errors.add_line(line);
      last_answered_ = now_;
    }
  } else {
    count_success(r, how);
  }
  c.checked = {};
  c.queue.pop();
  --in_flight_;
  return true;
}

void worker::count_success(const request& r, outcome how) {
  if (r.kind == request_kind::set && context_.history != nullptr)
    context_.history->end_write(r.key, r.write);
  if (phase_ == phase::preload) {
    --preload_left_;
    ++totals_.preloaded;
    return;
  }
  if (r.kind == request_kind::get && context_.history != nullptr)
    verify_read(r, how);
  if (!r.measured)
    return;
  auto& kind = r.kind == request_kind::get ? counted_.gets : counted_.sets;
  kind.latency.record(static_cast<uint64_t>((now_ - r.intended) / 1000));
  ++kind.succeeded;
  kind.misses += how == outcome::miss ? 1 : 0;
  last_answered_ = now_;
}

void worker::verify_read(const request& r, outcome how) {
  totals_.reads_without_floor += r.floor == 0 ? 1 : 0;
  if (how == outcome::miss) {
    totals_.values_missing += r.floor > 0 ? 1 : 0;
    return;
  }
  ++totals_.values_checked;
  // With siblings there is one value each: all must be right, one of them recent.
  if (current_->checked.wrong)
    ++totals_.values_wrong;
  else if (!current_->checked.fine)
    ++totals_.values_stale;
}

} // namespace kai::bench
