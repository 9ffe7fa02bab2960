#include "test/protocol/memcache/dialogue.hpp"

#include <algorithm>
#include <fstream>
#include <random>

#include <catch2/catch.hpp>

#include "protocol/limits.hpp"

namespace kai::memcache::test {

namespace {

std::string unescape(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\' && text[i + 1] == 'x') {
      out += static_cast<char>(std::stoi(std::string{text.substr(i + 2, 2)}, nullptr, 16));
      i += 3;
    } else if (text[i] == '\\') {
      constexpr std::string_view names = "rnt0";
      auto at = names.find(text[++i]);
      out += at == std::string_view::npos ? text[i] : "\r\n\t\0"[at];
    } else if (text[i] == '{') {
      auto star = text.find('*', i);
      auto end = text.find('}', star);
      auto times = std::stoul(std::string{text.substr(star + 1, end - star - 1)});
      for (auto part = text.substr(i + 1, star - i - 1); times > 0; --times)
        out += part;
      i = end;
    } else {
      out += text[i];
    }
  }
  return out;
}

} // namespace

std::vector<dialogue> read_dialogues(std::string_view name) {
  std::ifstream file{std::string{KAI_TEST_DIR "/protocol/memcache/"} += name};
  REQUIRE(file);
  std::vector<dialogue> result;
  for (std::string line; std::getline(file, line);) {
    auto text = std::string_view{line}.substr(std::min<size_t>(2, line.size()));
    switch (line.empty() ? '#' : line[0]) {
    case '=': result.push_back({std::string{text}, {}, {}, false}); break;
    case '>': result.back().sent += unescape(text); break;
    case '<': result.back().received += unescape(text); break;
    case '!': result.back().closes = true; break;
    default: break;
    }
  }
  return result;
}

void tiny_server::feed(std::string_view chunk) {
  parser_.feed(chunk);
  output out;
  while (parser_.next(result_) != parse_status::input_pending) {
    switch (result_.status) {
    case parse_status::error:
      if (result_.removes_key)
        run(result_.command, out);
      append(out, result_.error);
      break;
    case parse_status::fatal: closed_ = true; break;
    default: run(result_.command, out); break;
    }
  }
  received_.append(out.begin(), out.end());
}

void tiny_server::run(const command& x, output& out) {
  keys_max_ = std::max(keys_max_, x.keys.size());
  auto said = out.size();
  switch (x.op) {
  case verb::get:
  case verb::gets:
  case verb::gat:
  case verb::gats: retrieve(x, out); break;
  case verb::flush_all:
    flushed_ = x.exptime > 0 ? flushed_ : now_;
    append(out, "OK\r\n");
    break;
  case verb::verbosity: append(out, "OK\r\n"); break;
  case verb::version: append(out, "VERSION 1.6.18\r\n"); break;
  case verb::stats: append(out, "STATS " + x.argument + "\r\n"); break;
  case verb::quit: closed_ = true; break;
  case verb::noop: append(out, "MN\r\n"); break;
  case verb::meta_get: fetch(x, out); break;
  default:
    if (x.form.through == codec::meta)
      return change(x, out);
    append_outcome(out, x.op, write(x, x.keys.front()));
    break;
  }
  if (x.noreply)
    out.resize(said);
}

void tiny_server::retrieve(const command& x, output& out) {
  for (const auto& key : x.keys) {
    const auto& current = records_[key];
    const auto* found = latest(current);
    if (!found || !visible(*found, now_, flushed_))
      continue;
    auto copy = *found;
    auto with_cas = x.op == verb::gets || x.op == verb::gats;
    if (x.op == verb::gat || x.op == verb::gats)
      copy = write(x, key).found.value();
    access_.note(key_hash(key.view()), value_clock(*found), now_);
    append_value(out, key.view(), copy, with_cas ? cas_unique(current) : 0);
  }
  if (!x.more)
    append(out, "END\r\n");
}

meta_question tiny_server::question_of(const command& x, const mutation& what) const {
  return {x.op, x.form.quiet, x.extras.binary_key, x.keys.front().view(), x.argument, &what, now_};
}

void tiny_server::fetch(const command& x, output& out) {
  auto copy = x;
  auto what = write_of(copy, now_);
  auto question = question_of(x, what);
  auto& key = x.keys.front();
  auto result = write(x, key);
  if (result.kind != outcome_kind::value)
    return append_not_fetched(out, question);
  auto hash = key_hash(key.view());
  auto written = fetched_written(result, cas_unique(records_[key]));
  append_fetched(out, question, *result.found, 1, static_cast<fetch_result>(result.number),
                 access_.of(hash, written));
  if (!x.extras.leaves_no_trace)
    access_.note(hash, written, now_);
}

void tiny_server::change(const command& x, output& out) {
  auto copy = x;
  auto what = write_of(copy, now_);
  append_outcome(out, question_of(x, what), write(x, x.keys.front()));
}

outcome tiny_server::write(const command& x, const blob& key) {
  auto copy = x;
  auto what = write_of(copy, now_);
  auto& current = records_[key];
  auto decided = decide(what, current, {now_, flushed_, value_bytes_max});
  if (decided.next) {
    decided.next->written = {1, ++now_};
    overwrite(current, *decided.next);
  }
  return decided.answer;
}

TEST_CASE("every recorded dialogue with memcached is held word for word", "[memcache]") {
  for (auto name : {"lines.txt", "storage.txt", "counters.txt", "meta.txt"}) {
    for (const auto& x : read_dialogues(name)) {
      INFO(name << ": " << x.title);
      tiny_server server;
      server.feed(x.sent);
      CHECK(server.received() == x.received);
      CHECK(server.closed() == x.closes);
    }
  }
}

TEST_CASE("recorded dialogues do not depend on how the bytes arrive", "[memcache]") {
  std::mt19937_64 random{20090};
  for (auto name : {"lines.txt", "storage.txt", "counters.txt", "meta.txt"}) {
    for (const auto& x : read_dialogues(name)) {
      // Only memcached's rule for long lines looks at where a read ends.
      if (x.title == "a line that comes with its end may be long")
        continue;
      INFO(name << ": " << x.title);
      for (size_t step : {size_t{1}, size_t{2}, size_t{3}, size_t{0}}) {
        if (x.sent.size() > 100'000 && step != 0)
          continue;
        tiny_server server;
        for (size_t at = 0; at < x.sent.size();) {
          auto n = step != 0 ? step : 1 + random() % (x.sent.size() > 100'000 ? 20'000 : 20);
          server.feed(std::string{x.sent.substr(at, n)});
          at += n;
        }
        CHECK(server.received() == x.received);
        CHECK(server.closed() == x.closes);
      }
    }
  }
}

TEST_CASE("a cas with the token of gets stores once", "[memcache]") {
  tiny_server server;
  server.feed("set a 0 0 1\r\nx\r\ngets a\r\n");
  auto reply = server.received();
  auto line = reply.substr(reply.find("VALUE"), reply.find("\r\nx") - reply.find("VALUE"));
  auto token = line.substr(line.rfind(' ') + 1);
  server.feed("touch a 100\r\ncas a 0 0 1 " + token + "\r\ny\r\ncas a 0 0 1 " + token +
              "\r\nz\r\n");
  server.feed("gats 0 a\r\nget a\r\n");
  auto rest = server.received().substr(reply.size());
  CHECK(rest.starts_with("TOUCHED\r\nSTORED\r\nEXISTS\r\nVALUE a 0 1 "));
  CHECK(rest.ends_with("VALUE a 0 1\r\ny\r\nEND\r\n"));
}

TEST_CASE("a get of any number of keys is answered in pieces of bounded size", "[memcache]") {
  for (size_t chunk_bytes : {size_t{1}, size_t{7}, size_t{1000}, size_t{16 * 1024}}) {
    tiny_server server;
    server.feed("set b 0 0 1\r\nx\r\n");
    std::string line = "gets ";
    for (int i = 0; i < 5000; ++i)
      line += i % 1000 == 0 ? "b " : "key-" + std::to_string(i) + ' ';
    line += "b\r\nversion\r\n";
    for (size_t at = 0; at < line.size(); at += chunk_bytes)
      server.feed(line.substr(at, chunk_bytes));
    auto text = server.received();
    size_t values = 0;
    for (auto at = text.find("VALUE"); at != std::string::npos; at = text.find("VALUE", at + 1))
      ++values;
    CHECK(values == 6);
    CHECK(text.find("END") == text.rfind("END"));
    CHECK(text.ends_with("x\r\nEND\r\nVERSION 1.6.18\r\n"));
    CHECK(server.keys_max() == limits::keys_per_command_max);
  }
}

} // namespace kai::memcache::test
