#include <limits>

#include "protocol/mutation.hpp"

/// Mutations and outcomes on the wire.
namespace kai {

namespace {

void encode_version(byte_writer& out, const version& x) {
  out.u64(x.written.node);
  out.u64(x.written.clock);
  out.u64(x.kept_cas);
  out.u8(static_cast<uint8_t>((x.tombstone ? 1 : 0) | x.marks.pack() << 1));
  out.varint(x.flags);
  out.varint(x.expires);
  out.bytes(x.value.view());
}

bool read_bool(byte_reader& in) {
  auto x = in.u8();
  if (x > 1)
    in.fail();
  return x == 1;
}

value_marks read_marks(byte_reader& in, int bits) {
  auto x = value_marks::unpack(static_cast<uint8_t>(bits));
  if (!x)
    in.fail();
  return x.value_or(value_marks{});
}

uint32_t read_flags(byte_reader& in) {
  auto x = in.varint();
  if (x > std::numeric_limits<uint32_t>::max())
    in.fail();
  return static_cast<uint32_t>(x);
}

version decode_version(byte_reader& in) {
  version x;
  x.written.node = in.u64();
  x.written.clock = in.u64();
  x.kept_cas = in.u64();
  auto shape = in.u8();
  x.tombstone = shape & 1;
  x.marks = read_marks(in, shape >> 1);
  x.flags = read_flags(in);
  x.expires = in.varint();
  x.value = in.read_blob();
  return x;
}

/// An enum whose values are 1 to `last`.
template <class Enum>
Enum read_enum(byte_reader& in, Enum last) {
  auto x = in.u8();
  if (x >= 1 && x <= static_cast<uint8_t>(last))
    return static_cast<Enum>(x);
  in.fail();
  return last;
}

/// What a mutation of the meta commands and of the binary protocol has more: bits of a byte.
enum : uint8_t { has_expiry = 1, has_report = 2, has_late = 4, has_vivify = 8, has_recache = 16 };

uint8_t extras_of(const mutation& x) {
  return static_cast<uint8_t>((x.sets_expiry ? has_expiry : 0) |
                              (x.reports_expiry ? has_report : 0) |
                              (x.stale_if_late ? has_late : 0) | (x.vivify ? has_vivify : 0) |
                              (x.recache_before != 0 ? has_recache : 0) | x.marks.pack() << 5);
}

} // namespace

void encode(byte_writer& out, const mutation& x) {
  out.u8(static_cast<uint8_t>(x.kind));
  out.varint(x.flags);
  out.varint(x.expires);
  out.varint(x.delta);
  out.varint(x.compare);
  out.bytes(x.value.view());
  out.u8(x.quorum);
  out.u8(extras_of(x));
  if (x.vivify) {
    out.varint(*x.vivify);
    out.varint(x.initial);
  }
  if (x.recache_before != 0)
    out.varint(x.recache_before);
}

mutation decode_mutation(byte_reader& in) {
  mutation x;
  x.kind = read_enum(in, mutation_kind::invalidate);
  x.flags = read_flags(in);
  x.expires = in.varint();
  x.delta = in.varint();
  x.compare = in.varint();
  x.value = in.read_blob();
  x.quorum = in.u8();
  auto extras = in.u8();
  x.sets_expiry = extras & has_expiry;
  x.reports_expiry = extras & has_report;
  x.stale_if_late = extras & has_late;
  if (extras & has_vivify) {
    x.vivify = in.varint();
    x.initial = in.varint();
  }
  if (extras & has_recache)
    x.recache_before = in.varint();
  x.marks = read_marks(in, extras >> 5);
  return in.ok() ? x : mutation{};
}

void encode(byte_writer& out, const outcome& x) {
  out.u8(static_cast<uint8_t>(x.kind));
  out.varint(x.number);
  out.varint(x.cas);
  out.u8(x.found ? 1 : 0);
  if (x.found)
    encode_version(out, *x.found);
}

outcome decode_outcome(byte_reader& in) {
  outcome x;
  x.kind = read_enum(in, outcome_kind::value);
  x.number = in.varint();
  x.cas = in.varint();
  if (read_bool(in))
    x.found = decode_version(in);
  return in.ok() ? x : outcome{};
}

} // namespace kai
