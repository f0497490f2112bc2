// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>

#include "io/event_loop.h"

namespace groundwire {

/// How long a reset waits for the bytes that came before it.
///
/// When one side of a connection is reset, the other one first gets what had come by then, as far
/// as its window and its application let it. Cutting as soon as something blocks would lose bytes
/// of every transfer that is merely slow or far away; waiting without an end would let an
/// application that never reads hold the connection for a peer that is gone. So there is a bound,
/// and what is still there at its end is lost with the reset, and counted.
class ResetWait {
 public:
  static constexpr uint64_t kMaxMs = 5000;

  explicit ResetWait(EventLoop* loop) : loop_(loop) {}
  ~ResetWait() { Stop(); }
  ResetWait(const ResetWait&) = delete;
  ResetWait& operator=(const ResetWait&) = delete;

  /// Has `look` called in a while; nothing if that is under way. No event tells that a peer has
  /// acknowledged the last byte, so each look comes after as long as was waited before: few of
  /// them, and none much later than it could be.
  void LookAgain(EventLoop::Task look);
  void Stop() { loop_->Cancel(&timer_); }
  bool over() const { return waited_ms_ >= kMaxMs; }

 private:
  EventLoop* const loop_;
  EventLoop::TimerId timer_{};
  uint64_t waited_ms_ = 0;
};

}  // namespace groundwire
