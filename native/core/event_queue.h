// SPDX-License-Identifier: Apache-2.0
// Events on their way to TypeScript: filled by every engine thread, emptied by one.
#pragma once
#include <cstddef>
#include <cstdint>
#include <deque>
#include <mutex>
#include <vector>

#include "messages.gen.h"

namespace groundwire {

/// Told, from any engine thread, that events wait. Called once until the next Drain; must not call
/// back or block.
class EventSink {
 public:
  virtual ~EventSink() = default;
  virtual void Wake() = 0;
};

/// Bounded. What answers a command (BatchDone, PodReleased) is never dropped: it is bounded by the
/// commands. The rest is dropped when full and counted; a dropped question ends as VERDICT_TIMEOUT,
/// a dropped record is still in the flow rows.
class EventQueue {
 public:
  EventQueue(EventSink* sink, size_t max) : sink_(sink), max_(max) {}

  void Push(msg::Event event);
  /// Appends a batch of at most `max` events. Wakes the sink again when more are left.
  size_t Drain(std::vector<uint8_t>* packed, size_t max, uint64_t* dropped);
  uint64_t dropped_total() const;

 private:
  EventSink* const sink_;
  const size_t max_;
  mutable std::mutex mutex_;
  std::deque<msg::Event> events_;  // the rest: under mutex_
  bool woken_ = false;
  uint64_t dropped_ = 0;
  uint64_t dropped_total_ = 0;
};

}  // namespace groundwire
