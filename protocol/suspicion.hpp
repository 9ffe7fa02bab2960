#pragma once

#include <chrono>
#include <cstdint>

namespace kai {

/// Whether another node is alive, judged by the signs that come from it. As SWIM (Das, Gupta,
/// Motivala, 2002) does, others are asked before the verdict: when none of them reaches the node
/// either, it falls sooner; when one does, the node is merely busy or far, and has longer.
///
/// Time is any clock that does not run back, in milliseconds.
class suspicion {
public:
  using time = std::chrono::milliseconds;

  enum class step : uint8_t {
    nothing,
    /// Ask other members whether they reach it, once per silence.
    ask_others,
    /// It is gone: fail what waits for it.
    lost,
  };

  /// The connection was made: its time begins.
  void on_connected(time now);
  /// Anything came from it.
  void on_sign(time now);
  /// Another member tried to reach it.
  void on_witness(bool reached);
  /// To be called every limits::peer_tick. Where the calls themselves come late this node was
  /// stopped or overloaded: that is no silence of the other.
  step tick(time now);

  /// Whether it is to be asked for a sign now: whoever answers calls all the time need not be. To
  /// be called after `tick`; where it says yes, the probe counts as sent.
  bool probe_due(time now);
  bool suspected() const { return asked_; }
  /// Another member said in this silence that it does not reach it, and none that it does.
  bool confirmed() const { return missed_ && !reached_; }

private:
  time last_sign_{0};
  time last_tick_{0};
  time last_probe_{0};
  bool asked_ = false;
  bool reached_ = false;
  bool missed_ = false;
};

} // namespace kai
