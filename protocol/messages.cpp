// long: every message between nodes, to bytes and back
#include "protocol/messages.hpp"

#include <algorithm>

#include <caf/config.hpp>
#include <caf/sec.hpp>

#include "protocol/limits.hpp"

namespace kai {

namespace {

template <class... Fs>
struct overload : Fs... {
  using Fs::operator()...;
};
template <class... Fs>
overload(Fs...) -> overload<Fs...>;

/// Flags of a stored_answer.
constexpr uint8_t has_siblings = 1;
constexpr uint8_t is_replaced = 2;

void encode(byte_writer& out, const batch_header& x) {
  out.u64(x.clock);
  out.varint(x.epoch);
}

batch_header decode_header(byte_reader& in) {
  batch_header x;
  x.clock = in.u64();
  x.epoch = in.varint();
  return x;
}

void encode(byte_writer& out, const attempt_ptr& x) {
  out.u8(x != nullptr);
  if (!x)
    return;
  out.u64(x->written.node);
  out.u64(x->written.clock);
  out.u64(x->base.node);
  out.u64(x->base.clock);
  encode(out, x->result);
  out.u64(x->known_until);
}

attempt_ptr decode_attempt(byte_reader& in) {
  if (in.u8() == 0)
    return nullptr;
  attempt x;
  x.written.node = in.u64();
  x.written.clock = in.u64();
  x.base.node = in.u64();
  x.base.clock = in.u64();
  x.result = decode_outcome(in);
  x.known_until = in.u64();
  return std::make_shared<const attempt>(std::move(x));
}

void encode(byte_writer& out, const call& x) {
  out.varint(x.id);
  out.u16(x.partition);
  out.varint(x.changed_at);
  out.bytes(x.key.view());
  out.u8(static_cast<uint8_t>(x.what.index()));
  std::visit(
      overload{
          [&](const read_call& y) { out.u8(y.digest_only); },
          [&](const store_call& y) {
            encode(out, y.value);
            out.u8(y.sole);
          },
          [&](const lead_call& y) {
            encode(out, y.what);
            out.u64(y.above);
            out.u64(y.until);
            encode(out, y.tried);
          },
          [](const apply_call&) { CAF_CRITICAL("an apply_call on its way to another node"); },
          [&](const service_call& y) {
            out.bytes(y.service);
            out.bytes(y.request);
          },
          [&](const hint_call& y) {
            out.bytes(y.target);
            encode(out, y.value);
          },
          [&](const tree_call& y) { out.u64(y.root); },
          [&](const leaf_call& y) { out.u16(y.leaf); },
          [](const release_call&) { CAF_CRITICAL("a release_call on its way to another node"); },
          [](const drop_call&) { CAF_CRITICAL("a drop_call on its way to another node"); },
      },
      x.what);
}

call decode_call(byte_reader& in) {
  call x;
  x.id = in.varint();
  x.partition = in.u16();
  x.changed_at = in.varint();
  x.key = in.read_blob();
  switch (in.u8()) {
  case 0: x.what = read_call{in.u8() != 0}; break;
  case 1: {
    store_call y;
    y.value = decode_record(in);
    y.sole = in.u8() != 0;
    x.what = std::move(y);
    break;
  }
  case 2: {
    lead_call y;
    y.what = decode_mutation(in);
    y.above = in.u64();
    y.until = in.u64();
    y.tried = decode_attempt(in);
    x.what = std::move(y);
    break;
  }
  // An apply_call, release_call or drop_call never crosses the wire: whoever sends one is no kai
  // node.
  case 4: {
    service_call y;
    y.service = in.str();
    y.request = in.str();
    x.what = std::move(y);
    break;
  }
  case 5: {
    hint_call y;
    y.target = in.str();
    y.value = decode_record(in);
    x.what = std::move(y);
    break;
  }
  case 6: x.what = tree_call{in.u64()}; break;
  case 7: x.what = leaf_call{in.u16()}; break;
  default: in.fail();
  }
  return x;
}

void encode(byte_writer& out, const tree_answer& x) {
  out.varint(x.leaves.size());
  for (auto leaf : x.leaves)
    out.u64(leaf);
}

tree_answer decode_tree_answer(byte_reader& in) {
  tree_answer x;
  x.leaves.resize(in.count(8));
  for (auto& leaf : x.leaves)
    leaf = in.u64();
  return x;
}

void encode(byte_writer& out, const leaf_answer& x) {
  out.varint(x.entries.size());
  for (auto& y : x.entries) {
    out.bytes(y.key.view());
    out.u64(y.digest);
    out.u64(y.newest);
    out.u64(y.over_since);
  }
}

leaf_answer decode_leaf_answer(byte_reader& in) {
  leaf_answer x;
  x.entries.resize(in.count(25));
  for (auto& y : x.entries) {
    y.key = in.read_blob();
    y.digest = in.u64();
    y.newest = in.u64();
    y.over_since = in.u64();
  }
  return x;
}

void encode(byte_writer& out, const answer& x) {
  out.varint(x.id);
  out.u8(static_cast<uint8_t>(x.what.index()));
  std::visit(overload{
                 [&](const failed_answer& y) {
                   out.u8(static_cast<uint8_t>(y.reason));
                   out.u8(y.unchanged);
                   out.bytes(y.message);
                   encode(out, y.tried);
                 },
                 [&](const record_answer& y) {
                   encode(out, y.value);
                   out.u8(y.caught_up);
                 },
                 [&](const digest_answer& y) {
                   out.u64(y.digest);
                   out.u8(y.caught_up);
                 },
                 [&](const stored_answer& y) {
                   out.u64(y.shadowed_by);
                   out.u8(static_cast<uint8_t>((y.siblings ? has_siblings : 0) |
                                               (y.replaced ? is_replaced : 0)));
                   if (y.siblings)
                     encode(out, *y.siblings);
                 },
                 [&](const lead_answer& y) { encode(out, y.result); },
                 [&](const applied_answer& y) {
                   encode(out, y.result);
                   encode(out, y.value);
                 },
                 [&](const text_answer& y) { out.bytes(y.text); },
                 [&](const tree_answer& y) { encode(out, y); },
                 [&](const leaf_answer& y) { encode(out, y); },
                 [](const drop_answer&) { CAF_CRITICAL("a drop_answer on its way elsewhere"); },
             },
             x.what);
}

answer decode_answer(byte_reader& in) {
  answer x;
  x.id = in.varint();
  switch (in.u8()) {
  case 0: {
    failed_answer y;
    y.reason = static_cast<errc>(in.u8());
    y.unchanged = in.u8() != 0;
    y.message = in.str();
    y.tried = decode_attempt(in);
    x.what = std::move(y);
    break;
  }
  case 1: {
    record_answer y;
    y.value = decode_record(in);
    y.caught_up = in.u8() != 0;
    x.what = std::move(y);
    break;
  }
  case 2: {
    digest_answer y;
    y.digest = in.u64();
    y.caught_up = in.u8() != 0;
    x.what = y;
    break;
  }
  case 3: {
    stored_answer y;
    y.shadowed_by = in.u64();
    auto flags = in.u8();
    y.replaced = (flags & is_replaced) != 0;
    if ((flags & has_siblings) != 0)
      y.siblings = std::make_shared<const record>(decode_record(in));
    x.what = std::move(y);
    break;
  }
  case 4: x.what = lead_answer{decode_outcome(in)}; break;
  case 5: {
    applied_answer y;
    y.result = decode_outcome(in);
    y.value = decode_record(in);
    x.what = std::move(y);
    break;
  }
  case 6: x.what = text_answer{in.str()}; break;
  case 7: x.what = decode_tree_answer(in); break;
  case 8: x.what = decode_leaf_answer(in); break;
  default: in.fail();
  }
  return x;
}

size_t size_of(const record& x) {
  auto result = 16 * x.seen.size();
  for (auto& v : x.versions)
    result += 24 + v.value.size();
  return result;
}

/// CAF's serializer is virtual per field: the batch is encoded by our own writer, and handed over
/// at once.
template <class T>
caf::error save(caf::serializer& sink, const T& x) {
  thread_local std::string bytes;
  bytes.clear();
  byte_writer out{bytes};
  encode(out, x);
  auto size = bytes.size();
  if (auto err = sink.begin_sequence(size))
    return err;
  if (auto err = sink.apply_raw(size, bytes.data()))
    return err;
  if (bytes.capacity() > 4 * limits::batch_bytes_max)
    std::string{}.swap(bytes);
  return sink.end_sequence();
}

template <class T, class Decode>
caf::error load(caf::deserializer& source, T& x, Decode decode) {
  blob bytes;
  if (auto err = inspect(source, bytes))
    return err;
  byte_reader in{bytes};
  x = decode(in);
  return in.done() ? caf::error{} : caf::error{caf::sec::invalid_argument};
}

} // namespace

std::chrono::milliseconds extra_for(size_t bytes) {
  auto extra = std::chrono::milliseconds{bytes / limits::bytes_per_extra_ms};
  return std::min(extra, limits::large_value_extra_max);
}

std::chrono::milliseconds lead_deadline_of(const mutation& x) {
  auto usual = repeatable(x) ? limits::blind_lead_deadline : limits::lead_deadline;
  return usual + 2 * extra_for(x.value.size());
}

std::chrono::milliseconds decide_within(const mutation& x) {
  return repeatable(x) ? limits::repeatable_decide_within + extra_for(x.value.size())
                       : lead_deadline_of(x);
}

std::chrono::milliseconds deadline_of(const call& x) {
  if (auto lead = std::get_if<lead_call>(&x.what))
    return lead->patience.count() != 0 ? lead->patience : lead_deadline_of(lead->what);
  if (auto service = std::get_if<service_call>(&x.what))
    return service->service == "ping" ? limits::ping_deadline : limits::lead_deadline;
  // What a record that is read has in bytes, nobody knows beforehand.
  if (auto read = std::get_if<read_call>(&x.what); read && read->patient)
    return limits::call_deadline + limits::large_value_extra_max;
  auto record_moves = std::holds_alternative<store_call>(x.what) ||
                      std::holds_alternative<hint_call>(x.what) ||
                      std::holds_alternative<apply_call>(x.what);
  return limits::call_deadline + (record_moves ? extra_for(size_of(x)) : extra_for(0));
}

size_t size_of(const call& x) {
  auto body =
      std::visit(overload{
                     [](const read_call&) { return size_t{0}; },
                     [](const store_call& y) { return size_of(y.value); },
                     [](const lead_call& y) { return y.what.value.size() + 48; },
                     [](const apply_call& y) { return y.what.value.size() + 40 + size_of(y.base); },
                     [](const service_call& y) { return y.service.size() + y.request.size(); },
                     [](const hint_call& y) { return y.target.size() + size_of(y.value); },
                     [](const tree_call&) { return size_t{8}; },
                     [](const leaf_call&) { return size_t{2}; },
                     [](const release_call&) { return sizeof(dot); },
                     [](const drop_call&) { return size_t{8}; },
                 },
                 x.what);
  return 16 + x.key.size() + body;
}

size_t size_of(const answer& x) {
  auto body =
      std::visit(overload{
                     [](const failed_answer& y) { return y.message.size(); },
                     [](const record_answer& y) { return size_of(y.value); },
                     [](const digest_answer&) { return size_t{8}; },
                     [](const stored_answer& y) {
                       return size_t{8} + (y.siblings ? size_of(*y.siblings) : 0);
                     },
                     [](const lead_answer& y) {
                       return size_t{24} + (y.result.found ? y.result.found->value.size() : 0);
                     },
                     [](const applied_answer& y) { return size_t{24} + size_of(y.value); },
                     [](const text_answer& y) { return y.text.size(); },
                     [](const tree_answer& y) { return 8 * y.leaves.size(); },
                     [](const leaf_answer& y) { return 64 * y.entries.size(); },
                     [](const drop_answer&) { return size_t{17}; },
                 },
                 x.what);
  return 16 + body;
}

void encode(byte_writer& out, const answer_batch& x) {
  encode(out, x.header);
  out.varint(x.answers.size());
  for (auto& y : x.answers)
    encode(out, y);
}

answer_batch decode_answer_batch(byte_reader& in) {
  answer_batch x;
  x.header = decode_header(in);
  auto n = in.count(2);
  x.answers.reserve(std::min(n, limits::batch_calls_max));
  for (; n > 0 && in.ok(); --n)
    x.answers.push_back(decode_answer(in));
  return x;
}

void encode(byte_writer& out, const call_batch& x) {
  encode(out, x.header);
  out.varint(x.calls.size());
  for (auto& y : x.calls)
    encode(out, y);
  out.varint(x.answers_for);
  if (x.answers_for != 0)
    encode(out, x.answers);
}

call_batch decode_call_batch(byte_reader& in) {
  call_batch x;
  x.header = decode_header(in);
  auto n = in.count(6);
  x.calls.reserve(std::min(n, limits::batch_calls_max));
  for (; n > 0 && in.ok(); --n)
    x.calls.push_back(decode_call(in));
  x.answers_for = in.varint();
  if (x.answers_for != 0)
    x.answers = decode_answer_batch(in);
  return x;
}

void encode(byte_writer& out, const hello& x) {
  out.u32(x.protocol);
  out.u64(x.cluster_id);
  out.bytes(x.name);
  out.u64(x.id);
  out.u64(x.incarnation);
  encode(out, x.header);
}

hello decode_hello(byte_reader& in) {
  hello x;
  x.protocol = in.u32();
  x.cluster_id = in.u64();
  x.name = in.str();
  x.id = in.u64();
  x.incarnation = in.u64();
  x.header = decode_header(in);
  return x;
}

caf::error inspect(caf::serializer& sink, call_batch& x) { return save(sink, x); }
caf::error inspect(caf::deserializer& source, call_batch& x) {
  return load(source, x, decode_call_batch);
}
caf::error inspect(caf::serializer& sink, answer_batch& x) { return save(sink, x); }
caf::error inspect(caf::deserializer& source, answer_batch& x) {
  return load(source, x, decode_answer_batch);
}
caf::error inspect(caf::serializer& sink, hello& x) { return save(sink, x); }
caf::error inspect(caf::deserializer& source, hello& x) { return load(source, x, decode_hello); }

std::string to_string(const call_batch& x) {
  return "call_batch(" + std::to_string(x.calls.size()) + ")";
}
std::string to_string(const answer_batch& x) {
  return "answer_batch(" + std::to_string(x.answers.size()) + ")";
}
std::string to_string(const hello& x) { return "hello(" + x.name + ")"; }

} // namespace kai
