#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "protocol/hash.hpp"
#include "protocol/memcache/access_marks.hpp"
#include "protocol/memcache/command_write.hpp"
#include "protocol/memcache/meta_reply.hpp"
#include "protocol/memcache/text_parser.hpp"
#include "protocol/memcache/text_reply.hpp"

/// Recorded dialogues (their format: lines.txt) and what is needed to hold one without a node.
namespace kai::memcache::test {

struct dialogue {
  std::string title;
  std::string sent;
  std::string received;
  bool closes = false;
};

/// The dialogues of a file beside this one.
std::vector<dialogue> read_dialogues(std::string_view name);

/// One node in a few lines: the parser, `decide` and the replies around a map. What a connection
/// does with commands, without clusters, time or sockets.
class tiny_server {
public:
  static constexpr size_t value_bytes_max = 1048500;

  /// Bytes from the client; what goes back is appended to `received`.
  void feed(std::string_view chunk);

  const std::string& received() const { return received_; }
  bool closed() const { return closed_; }
  /// The longest list of keys that a command had.
  size_t keys_max() const { return keys_max_; }

private:
  void run(const command& x, output& out);
  void retrieve(const command& x, output& out);
  meta_question question_of(const command& x, const mutation& what) const;
  void fetch(const command& x, output& out);
  void change(const command& x, output& out);
  outcome write(const command& x, const blob& key);

  text_parser parser_{value_bytes_max};
  parse_result result_;
  std::map<blob, record> records_;
  /// Some time in 2027.
  timestamp now_ = 1'800'000'000'000'000;
  timestamp flushed_ = 0;
  access_marks access_;
  std::string received_;
  bool closed_ = false;
  size_t keys_max_ = 0;
};

} // namespace kai::memcache::test
