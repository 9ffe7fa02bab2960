#include "protocol/memcache/meta_line.hpp"

#include <array>
#include <bitset>

#include "protocol/limits.hpp"
#include "protocol/memcache/base64.hpp"
#include "protocol/memcache/number.hpp"
#include "protocol/memcache/words.hpp"

namespace kai::memcache {

namespace {

constexpr std::string_view bad_token = "CLIENT_ERROR bad token in command line format\r\n";
constexpr std::string_view bad_flag = "CLIENT_ERROR invalid flag\r\n";
constexpr std::string_view duplicate_flag = "CLIENT_ERROR duplicate flag\r\n";
constexpr std::string_view bad_or_duplicate = "CLIENT_ERROR invalid or duplicate flag\r\n";
constexpr std::string_view bad_key = "CLIENT_ERROR error decoding key\r\n";
constexpr std::string_view bad_mode_length = "CLIENT_ERROR incorrect length for M token\r\n";
constexpr std::string_view bad_set_mode = "CLIENT_ERROR invalid mode for ms M token\r\n";
constexpr std::string_view bad_arithmetic_mode = "CLIENT_ERROR invalid mode for ma M token\r\n";
constexpr std::string_view bad_initial = "CLIENT_ERROR invalid numeric initial value\r\n";
constexpr std::string_view bad_delta = "CLIENT_ERROR invalid numeric delta value\r\n";
constexpr std::string_view long_opaque = "CLIENT_ERROR opaque token too long\r\n";
constexpr std::string_view many_flags_of_get = "CLIENT_ERROR options flags are too long\r\n";
constexpr std::string_view many_flags = "CLIENT_ERROR options flags too long\r\n";

/// Words of a line, the verb included.
constexpr size_t words_max = 19;

/// The letter O included.
constexpr size_t opaque_word_bytes_max = 32;

line_meaning refuse(std::string_view error) { return {line_kind::error, error, 0, {}}; }

/// What the flags say, beside what they put into the command.
struct flags {
  char mode = 0;
  bool has_cas = false;
  bool opaque_too_long = false;
};

/// Reads one flag after another; `error` is the answer to wrong ones.
class flag_reader {
public:
  flag_reader(command& into, std::string_view key) : into_(into), key_(key) {}

  /// False when nothing behind it counts.
  bool read(std::string_view word) {
    auto letter = static_cast<unsigned char>(word[0]);
    if (letter >= seen_.size() || seen_[letter]) {
      error = duplicate_flag;
      return false;
    }
    seen_[letter] = true;
    return interpret(word[0], word.substr(1));
  }

  void finish() {
    if (failed_ && error.empty())
      error = bad_format;
    if (failed_)
      return;
    into_.keys.push_back(into_.extras.binary_key ? blob::copy_of(decoded_) : blob::copy_of(key_));
  }

  std::string_view error;
  flags found;

private:
  bool interpret(char letter, std::string_view token) {
    switch (letter) {
    case 'b': return read_key();
    case 'N': return read_vivify(token);
    case 'T': return read_exptime(token);
    case 'R': return check(read_into(token, into_.extras.recache), bad_token);
    case 'F': return read_client_flags(token);
    case 'C': return read_cas(token);
    case 'M':
      if (token.size() != 1)
        return check(false, bad_mode_length);
      found.mode = token[0];
      return true;
    case 'J': return check(read_number(token, into_.extras.initial), bad_initial);
    case 'D': return check(read_number(token, into_.delta), bad_delta);
    case 'I': into_.extras.invalidates = true; return true;
    case 'q': into_.form.quiet = true; return true;
    case 'u': into_.extras.leaves_no_trace = true; return true;
    case 'O': found.opaque_too_long = token.size() + 1 > opaque_word_bytes_max; return true;
    case 'L': return read_quorum(token);
    case 'P':
    case 'k':
    case 's':
    case 't':
    case 'c':
    case 'f':
    case 'v':
    case 'h':
    case 'l': return true;
    default: error = bad_flag; return false;
    }
  }

  /// memcached goes on reading, and answers with the last error that has words of its own.
  bool check(bool good, std::string_view words) {
    if (!good) {
      failed_ = true;
      error = words;
    }
    return true;
  }

  bool read_key() {
    into_.extras.binary_key = true;
    auto bytes = decode_base64(key_);
    if (bytes)
      decoded_ = std::move(*bytes);
    return check(bytes.has_value(), bad_key);
  }

  static bool read_into(std::string_view token, std::optional<int64_t>& to) {
    auto x = read_signed(token);
    if (x)
      to = static_cast<int32_t>(*x);
    return x.has_value();
  }

  static bool read_number(std::string_view token, uint64_t& to) {
    auto x = read_unsigned(token);
    to = x.value_or(to);
    return x.has_value();
  }

  bool read_vivify(std::string_view token) {
    return check(read_into(token, into_.extras.vivify), bad_token);
  }

  /// What is made where there is nothing gets it too, when it stands behind N.
  bool read_exptime(std::string_view token) {
    std::optional<int64_t> x;
    if (!check(read_into(token, x), bad_token) || !x)
      return true;
    into_.exptime = *x;
    into_.extras.sets_exptime = true;
    if (into_.extras.vivify)
      into_.extras.vivify = x;
    return true;
  }

  /// "r=2" or "w=3"; everything else is a router's business.
  bool read_quorum(std::string_view token) {
    auto which = token.substr(0, 2);
    if (which != "r=" && which != "w=")
      return true;
    auto x = read_unsigned(token.substr(2));
    auto good = x && *x >= 1 && *x <= limits::replicas_max;
    auto& to = which == "r=" ? into_.extras.read_quorum : into_.extras.write_quorum;
    to = static_cast<uint8_t>(good ? *x : 0);
    return check(good, bad_token);
  }

  bool read_client_flags(std::string_view token) {
    auto x = read_unsigned(token);
    failed_ = failed_ || !x;
    into_.flags = static_cast<uint32_t>(x.value_or(0));
    return true;
  }

  bool read_cas(std::string_view token) {
    found.has_cas = true;
    return check(read_number(token, into_.cas), bad_token);
  }

  command& into_;
  std::string_view key_;
  std::string decoded_;
  std::bitset<127> seen_;
  bool failed_ = false;
};

/// The flags that an answer depends on, in their order.
void keep_for_answer(const words_of_line& words, size_t first, command& into) {
  constexpr std::string_view answered = "stcflhkOTNv";
  for (auto i = first; i < words.count; ++i) {
    if (answered.find(words[i][0]) == std::string_view::npos)
      continue;
    if (!into.argument.empty())
      into.argument += ' ';
    into.argument += words[i][0] == 'O' ? words[i] : words[i].substr(0, 1);
  }
}

/// Reads the flags from the word `first` on. Empty: they are good.
std::string_view read_flags(const words_of_line& words, size_t first, command& into, flags& out) {
  flag_reader reader{into, words[0]};
  for (auto i = first; i < words.count; ++i)
    if (!reader.read(words[i]))
      return reader.error;
  reader.finish();
  if (!reader.error.empty())
    return reader.error;
  out = reader.found;
  keep_for_answer(words, first, into);
  return {};
}

line_meaning meta_get(const words_of_line& words, command& into) {
  into.op = verb::meta_get;
  flags found;
  auto error = read_flags(words, 1, into, found);
  if (error.empty() && found.opaque_too_long)
    error = long_opaque;
  // Known, and of no meaning here.
  into.cas = 0;
  return error.empty() ? line_meaning{} : refuse(error);
}

line_meaning meta_remove(const words_of_line& words, command& into) {
  into.op = verb::remove;
  flags found;
  if (!read_flags(words, 1, into, found).empty())
    return refuse(bad_or_duplicate);
  if (found.opaque_too_long)
    return refuse(long_opaque);
  if (found.has_cas && into.cas == 0)
    into.cas = impossible_cas;
  return {};
}

line_meaning meta_arithmetic(const words_of_line& words, command& into) {
  into.op = verb::incr;
  into.delta = 1;
  flags found;
  if (!read_flags(words, 1, into, found).empty())
    return refuse(bad_or_duplicate);
  switch (found.mode) {
  case 0:
  case 'I':
  case '+': break;
  case 'D':
  case '-': into.op = verb::decr; break;
  default: return refuse(bad_arithmetic_mode);
  }
  return found.opaque_too_long ? refuse(long_opaque) : line_meaning{};
}

std::optional<verb> verb_of_mode(char mode) {
  switch (mode) {
  case 0:
  case 'S': return verb::set;
  case 'E': return verb::add;
  case 'A': return verb::append;
  case 'P': return verb::prepend;
  case 'R': return verb::replace;
  default: return std::nullopt;
  }
}

line_meaning meta_set(const words_of_line& words, command& into) {
  into.op = verb::set;
  auto length = words.count > 1 ? read_signed(words[1]) : std::nullopt;
  auto bytes = static_cast<int32_t>(length.value_or(-1));
  if (bytes < 0 || bytes > data_bytes_max)
    return refuse(bad_format);
  auto size = static_cast<size_t>(bytes);
  flags found;
  auto error = read_flags(words, 2, into, found);
  auto op = verb_of_mode(found.mode);
  if (error.empty() && !op)
    error = bad_set_mode;
  if (error.empty() && found.opaque_too_long)
    error = long_opaque;
  if (!error.empty())
    return {line_kind::swallow, error, size, {}};
  into.op = *op;
  if (found.has_cas && (into.op == verb::set || into.op == verb::replace))
    into.op = verb::cas;
  return {line_kind::data, {}, size, {}};
}

/// Of its flags it knows one, in one place.
line_meaning meta_debug(const words_of_line& words, command& into) {
  into.op = verb::meta_debug;
  if (words.count < 1 || words[0].size() > limits::key_bytes_max)
    return refuse(bad_format);
  auto key = std::string{words[0]};
  if (words.count > 1 && words[1] == "b") {
    auto decoded = decode_base64(key);
    if (!decoded)
      return refuse(bad_format);
    key = std::move(*decoded);
  }
  into.keys.push_back(blob::copy_of(key));
  return {};
}

} // namespace

bool is_meta_verb(std::string_view word) {
  return word.size() == 2 && word[0] == 'm' &&
         std::string_view{"gsdane"}.find(word[1]) != std::string_view::npos;
}

line_meaning interpret_meta(std::string_view word, std::string_view rest, command& into) {
  into.form.through = codec::meta;
  if (word == "mn") {
    into.op = verb::noop;
    return {};
  }
  words_of_line words{rest};
  if (word == "me")
    return meta_debug(words, into);
  if (words.count < 1)
    return refuse(unknown_command);
  if (words[0].size() > limits::key_bytes_max)
    return refuse(bad_format);
  if (word == "ms" && words.count < 2)
    return refuse(bad_format);
  if (words.count + 1 > words_max)
    return refuse(word == "mg" ? many_flags_of_get : many_flags);
  switch (word[1]) {
  case 'g': return meta_get(words, into);
  case 's': return meta_set(words, into);
  case 'd': return meta_remove(words, into);
  default: return meta_arithmetic(words, into);
  }
}

} // namespace kai::memcache
