#pragma once

#include <functional>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "test/support/history.hpp"
#include "test/support/sim_cluster.hpp"

namespace kai::test {

struct workload_options {
  size_t clients = 4;
  size_t keys = 4;
  /// Keys are this and a number. Histories begin with the key absent.
  std::string prefix = "key";
  /// Most requests of one client under way, all on different keys.
  size_t pipeline = 3;
  /// A client waits up to this between its requests.
  caf::timespan pause_max = std::chrono::milliseconds{3};
  /// `run` sends a flush_all when half of its operations are done.
  bool flush_under_load = false;
  /// One operation in so many goes to a key of its own, which is set once and then, perhaps,
  /// deleted; 0: none.
  uint32_t own_key_one_in = 0;
  /// If set, called with every answer.
  std::function<void(const std::string& key, const operation&)> on_answer = {};
};

/// Clients that ask a cluster random things and write down what they see. Each talks to one node at
/// a time, as a connection does: a coordinator of that node gets its requests, several at once when
/// they concern different keys. Ends with the actors of the cluster's system, before which it must
/// not go.
class workload {
public:
  workload(sim_cluster& cluster, workload_options options);
  ~workload();
  workload(const workload&) = delete;
  workload& operator=(const workload&) = delete;

  /// Every client carries out `operations` more; false: they were not all answered in time.
  bool run(size_t operations);
  /// The same in two parts: what happens to the cluster in between happens under load.
  void begin(size_t operations);
  /// `meanwhile` is called after each step.
  bool finish(const std::function<void()>& meanwhile = {});
  /// The node has crashed: what it had to answer has an unknown end, and its clients go elsewhere.
  void lose_node(size_t node);
  /// Nobody sends anything to the node, or does again.
  void avoid(size_t node, bool on) { avoided_[node] = on; }
  /// flush_all at a random node while no client does anything; false: it failed.
  bool flush();
  /// Every key is read at every live node, one after another.
  bool read_everywhere();

  /// All that were written to, those of `own_key_one_in` included.
  const std::vector<std::string>& keys() const { return keys_; }
  const std::map<std::string, key_history>& histories() const { return histories_; }
  /// The longest that an answer took.
  caf::timespan slowest() const { return slowest_; }
  /// Which it was, and when it came.
  const std::string& slowest_operation() const { return slowest_operation_; }
  /// Answers to nothing that was asked: some request was answered twice.
  size_t stray_answers() const { return stray_answers_; }
  uint64_t trace() const { return trace_; }

private:
  using actor_type =
      response_sink::extend<caf::reacts_to<tick_atom>, caf::reacts_to<flush_all_atom>>;

  struct position {
    std::string key;
    size_t index = 0;
    caf::timespan sent{0};
  };
  struct client {
    actor_type handle;
    size_t node = 0;
    size_t left = 0;
    /// By tag.
    std::map<uint64_t, position> open;
    /// The last cas unique it saw, by key.
    std::map<std::string, uint64_t> tokens;
    /// Own keys that it has set, and when that was acknowledged.
    std::vector<std::pair<std::string, caf::timespan>> own;
  };

  static actor_type::behavior_type behavior(actor_type::pointer self, workload* owner,
                                            size_t index);
  void act(size_t index, actor_type::pointer self);
  void on_responses(size_t index, response_list& xs, actor_type::pointer self);
  void start_flush(actor_type::pointer self);
  void note_answer(client& who, operation& x, const std::string& key, response& answer);
  void ask(size_t index, size_t node, const std::string& key, std::optional<mutation> change,
           request_list& out);
  std::optional<mutation> random_change(const client& who, const std::string& key);
  std::string random_value();
  size_t random_node();
  void ask_own_key(size_t index, request_list& out);
  bool idle() const;
  uint64_t random(uint64_t below) { return random_() % below; }

  sim_cluster& cluster_;
  workload_options options_;
  std::mt19937_64 random_;
  std::vector<std::string> keys_;
  size_t shared_keys_ = 0;
  std::vector<bool> avoided_;
  std::vector<client> clients_;
  /// Tags of requests to nodes that crashed: an answer may have been on its way still.
  std::set<uint64_t> lost_;
  std::map<std::string, key_history> histories_;
  /// Position in the order of everything sent and got.
  uint64_t now_ = 0;
  uint64_t next_tag_ = 1;
  uint64_t next_value_ = 1;
  std::optional<bool> flushed_;
  caf::timespan slowest_{0};
  std::string slowest_operation_;
  size_t stray_answers_ = 0;
  uint64_t trace_ = 0;
};

} // namespace kai::test
