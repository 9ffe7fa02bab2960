#include "protocol/version.hpp"

#include <algorithm>
#include <bit>
#include <span>

#include <xxhash.h>

#include "protocol/limits.hpp"

namespace kai {

namespace {

void raise(version_vector& seen, const dot& x) {
  auto i = std::lower_bound(seen.begin(), seen.end(), x.node,
                            [](const dot& entry, node_id node) { return entry.node < node; });
  if (i != seen.end() && i->node == x.node)
    i->clock = std::max(i->clock, x.clock);
  else
    seen.insert(i, x);
}

version_vector join(const version_vector& a, const version_vector& b) {
  version_vector result;
  result.reserve(a.size() + b.size());
  auto i = a.begin();
  auto j = b.begin();
  while (i != a.end() || j != b.end()) {
    if (j == b.end() || (i != a.end() && i->node < j->node)) {
      result.push_back(*i++);
    } else if (i == a.end() || j->node < i->node) {
      result.push_back(*j++);
    } else {
      result.push_back({i->node, std::max(i->clock, j->clock)});
      ++i;
      ++j;
    }
  }
  return result;
}

/// Of two copies of one version, the one that was reaped to a tombstone when it expired.
const version& same_version(const version& a, const version& b) { return b.tombstone ? b : a; }

/// The versions of `mine` that `theirs` has too or does not know of. Those in both are taken from
/// here only when `with_common`.
void survivors(const record& mine, const record& theirs, bool with_common,
               std::vector<version>& out) {
  for (auto& x : mine.versions) {
    auto other = std::find_if(theirs.versions.begin(), theirs.versions.end(),
                              [&](const version& y) { return y.written == x.written; });
    if (other != theirs.versions.end()) {
      if (with_common)
        out.push_back(same_version(x, *other));
    } else if (!covers(theirs.seen, x.written)) {
      out.push_back(x);
    }
  }
}

void limit_siblings(record& x, size_t* dropped) {
  if (x.versions.size() <= limits::siblings_max)
    return;
  auto excess = x.versions.size() - limits::siblings_max;
  auto later = [](const version& a, const version& b) {
    return latest_order{}(a.written, b.written);
  };
  std::sort(x.versions.begin(), x.versions.end(), later);
  x.versions.erase(x.versions.begin(), x.versions.begin() + static_cast<ptrdiff_t>(excess));
  if (dropped)
    *dropped += excess;
}

void sort_by_dot(std::vector<version>& xs) {
  std::sort(xs.begin(), xs.end(),
            [](const version& a, const version& b) { return a.written < b.written; });
}

/// An entry that covers a version present stays: without it the version would look unseen.
void limit_vector(record& x) {
  while (x.seen.size() > limits::version_vector_max) {
    auto oldest = x.seen.end();
    for (auto i = x.seen.begin(); i != x.seen.end(); ++i) {
      auto needed = std::any_of(x.versions.begin(), x.versions.end(),
                                [&](const version& v) { return v.written.node == i->node; });
      if (!needed && (oldest == x.seen.end() || i->clock < oldest->clock))
        oldest = i;
    }
    if (oldest == x.seen.end())
      return;
    x.seen.erase(oldest);
  }
}

} // namespace

uint8_t value_marks::pack() const {
  return static_cast<uint8_t>((stale ? 1 : 0) | (won ? 2 : 0) | (binary_key ? 4 : 0));
}

std::optional<value_marks> value_marks::unpack(uint8_t bits) {
  if (bits > 7)
    return std::nullopt;
  return value_marks{(bits & 1) != 0, (bits & 2) != 0, (bits & 4) != 0};
}

bool covers(const version_vector& seen, const dot& x) {
  for (auto& entry : seen)
    if (entry.node == x.node)
      return x.clock <= entry.clock;
  return false;
}

void note_seen(version_vector& seen, const dot& x) { raise(seen, x); }

record merge(const record& a, const record& b, size_t* dropped) {
  if (a.empty())
    return b;
  if (b.empty())
    return a;
  record result;
  result.seen = join(a.seen, b.seen);
  survivors(a, b, true, result.versions);
  survivors(b, a, false, result.versions);
  limit_siblings(result, dropped);
  sort_by_dot(result.versions);
  limit_vector(result);
  return result;
}

void overwrite(record& x, version next) {
  raise(x.seen, next.written);
  x.versions.clear();
  x.versions.push_back(std::move(next));
  limit_vector(x);
}

namespace {

/// Chained hashes of flat arrays: padding-free, and no streaming state to allocate.
class running_digest {
public:
  running_digest(std::string_view key, std::span<const dot> seen)
      : hash_(XXH3_64bits_withSeed(seen.data(), seen.size_bytes(),
                                   XXH3_64bits(key.data(), key.size()))) {
    static_assert(sizeof(dot) == 16);
    static_assert(std::endian::native == std::endian::little, "digests are compared between nodes");
  }

  void add(const dot& written) { hash_ = XXH3_64bits_withSeed(&written, sizeof(dot), hash_); }
  uint64_t get() const { return hash_ == 0 ? 1 : hash_; }

private:
  uint64_t hash_;
};

uint64_t make_cas(timestamp clock, uint64_t hash) {
  auto result = clock << cas_clock_shift | (hash & 0xfff);
  return result == 0 ? 1 : result;
}

uint64_t cas_of(const dot& written) {
  return make_cas(written.clock, XXH3_64bits(&written, sizeof(dot)));
}

uint64_t value_cas(const version& x) { return x.kept_cas != 0 ? x.kept_cas : cas_of(x.written); }

} // namespace

uint64_t digest_of(std::string_view key, const record& x) {
  if (x.empty())
    return 0;
  running_digest result{key, x.seen};
  for (auto& v : x.versions)
    result.add(v.written);
  return result.get();
}

const version* latest(const record& x) {
  const version* result = nullptr;
  for (auto& v : x.versions)
    if (!result || latest_order{}(result->written, v.written))
      result = &v;
  return result;
}

bool holds(const record& x, const dot& written) {
  return std::any_of(x.versions.begin(), x.versions.end(),
                     [&](const version& v) { return v.written == written; });
}

timestamp shadowed_by(const record& merged, const record& stored) {
  auto ours = latest(stored);
  if (!ours || !holds(merged, ours->written))
    return 0;
  timestamp most = 0;
  for (auto& v : merged.versions)
    if (!holds(stored, v.written))
      most = std::max(most, v.written.clock);
  return most >= ours->written.clock ? most : 0;
}

bool visible(const version& x, timestamp now, timestamp flushed) {
  return !x.tombstone && (x.expires == 0 || x.expires > now) && x.written.clock > flushed;
}

timestamp over_since(const record& x, timestamp flushed) {
  timestamp result = 0;
  for (auto& v : x.versions) {
    // Never, unless one of three things ended it; the first of them counts.
    auto end = UINT64_MAX;
    if (v.tombstone)
      end = v.written.clock;
    else if (v.expires != 0)
      // One may be stored with an expiry that is long past.
      end = std::max(v.expires, v.written.clock);
    if (v.written.clock <= flushed)
      end = std::min(end, flushed);
    if (end == UINT64_MAX)
      return 0;
    result = std::max(result, end);
  }
  return result;
}

timestamp newest_of(const record& x) {
  timestamp result = 0;
  for (auto& seen : x.seen)
    result = std::max(result, seen.clock);
  return result;
}

uint64_t cas_unique(const record& x) {
  if (x.versions.size() == 1)
    return value_cas(x.versions[0]);
  auto winner = latest(x);
  if (!winner)
    return 0;
  uint64_t hash = 0;
  for (auto& v : x.versions) {
    auto cas = value_cas(v);
    hash = XXH3_64bits_withSeed(&cas, sizeof cas, hash);
  }
  return make_cas(value_clock(*winner), hash);
}

timestamp value_clock(const version& x) {
  return x.kept_cas != 0 ? x.kept_cas >> cas_clock_shift : x.written.clock;
}

record outline_of(const record& x) {
  auto result = x;
  for (auto& v : result.versions)
    v.value = {};
  return result;
}

uint64_t cas_unique_beside(uint64_t cas, const record& written, const record& outline) {
  if (cas == 0 || outline.empty())
    return cas;
  auto together = cas_unique(merge(written, outline));
  auto same_value = together >> cas_clock_shift == cas >> cas_clock_shift;
  return same_value ? together : cas;
}

void encode(byte_writer& out, const record& x) {
  out.varint(x.seen.size());
  for (auto& entry : x.seen) {
    out.u64(entry.node);
    out.u64(entry.clock);
  }
  out.varint(x.versions.size());
  for (auto& v : x.versions) {
    out.u8(static_cast<uint8_t>((v.tombstone ? 1 : 0) | (v.expires ? 4 : 0) | (v.flags ? 8 : 0) |
                                v.marks.pack() << 4 | (v.kept_cas ? 128 : 0)));
    // The node of a dot is one of the vector's: its position is enough.
    auto i = std::lower_bound(x.seen.begin(), x.seen.end(), v.written.node,
                              [](const dot& entry, node_id node) { return entry.node < node; });
    out.varint(static_cast<uint64_t>(i - x.seen.begin()));
    out.varint(i->clock - v.written.clock);
    if (v.kept_cas)
      out.u64(v.kept_cas);
    if (v.expires)
      out.u64(v.expires);
    if (v.flags)
      out.u32(v.flags);
    if (!v.tombstone)
      out.bytes(v.value.view());
  }
}

namespace {

/// All but the value.
version decode_head(byte_reader& in, std::span<const dot> seen) {
  version v;
  auto shape = in.u8();
  v.tombstone = shape & 1;
  auto marks = value_marks::unpack(shape >> 4 & 7);
  auto position = in.varint();
  auto behind = in.varint();
  if (!marks || position >= seen.size() || behind > seen[position].clock) {
    in.fail();
    return v;
  }
  v.marks = *marks;
  v.written = {seen[position].node, seen[position].clock - behind};
  if (shape & 128)
    v.kept_cas = in.u64();
  // Stored before there was a kept_cas: the write that made the value.
  if (shape & 2) {
    if (v.kept_cas != 0)
      in.fail();
    auto node = in.u64();
    v.kept_cas = cas_of({node, in.u64()});
  }
  if (shape & 4)
    v.expires = in.u64();
  if (shape & 8)
    v.flags = in.u32();
  return v;
}

version decode_version(byte_reader& in, std::span<const dot> seen) {
  auto v = decode_head(in, seen);
  if (!v.tombstone)
    v.value = in.read_blob();
  return v;
}

version_vector decode_vector(byte_reader& in) {
  version_vector seen(in.count(sizeof(dot)));
  for (auto& entry : seen) {
    entry.node = in.u64();
    entry.clock = in.u64();
  }
  return seen;
}

} // namespace

uint64_t encoded_digest(std::string_view key, byte_reader& in) {
  auto seen = decode_vector(in);
  running_digest result{key, seen};
  for (auto n = in.count(3); n > 0 && in.ok(); --n) {
    auto v = decode_head(in, seen);
    if (!v.tombstone)
      in.bytes();
    result.add(v.written);
  }
  return seen.empty() ? 0 : result.get();
}

record decode_record(byte_reader& in) {
  record x;
  x.seen = decode_vector(in);
  for (size_t i = 1; i < x.seen.size(); ++i)
    if (x.seen[i - 1].node >= x.seen[i].node)
      in.fail();
  auto n = in.count(3);
  // A version takes many times the bytes that it may have come in.
  if (n > limits::siblings_max)
    in.fail();
  x.versions.reserve(in.ok() ? n : 0);
  for (; n > 0 && in.ok(); --n)
    x.versions.push_back(decode_version(in, x.seen));
  for (size_t i = 1; i < x.versions.size(); ++i)
    if (x.versions[i - 1].written >= x.versions[i].written)
      in.fail();
  if (x.seen.empty() != x.versions.empty())
    in.fail();
  if (!in.ok())
    return {};
  return x;
}

std::string to_string(const dot& x) {
  char text[40];
  auto n = snprintf(text, sizeof text, "%016llx@%llu", static_cast<unsigned long long>(x.node),
                    static_cast<unsigned long long>(x.clock));
  return {text, static_cast<size_t>(n)};
}

std::string to_string(const record& x) {
  std::string result;
  for (auto& v : x.versions) {
    if (!result.empty())
      result.append(" | ");
    result.append(to_string(v.written));
    result.append(v.tombstone ? " tombstone" : " value of ");
    if (!v.tombstone)
      result.append(std::to_string(v.value.size())).append(" bytes");
  }
  return result.empty() ? "nothing" : result;
}

} // namespace kai
