// SPDX-License-Identifier: Apache-2.0
// Events on their way to TypeScript: filled by every engine thread, emptied by one.
#pragma once
#include <cstddef>
#include <cstdint>
#include <deque>
#include <mutex>
#include <vector>

#include "port/messages.gen.h"

namespace groundwire {

/// Told, from any engine thread, that events wait. Called once until the next Drain; must not call
/// back or block.
class EventSink {
 public:
  virtual ~EventSink() = default;
  virtual void Wake() = 0;
};

/// Two queues, each bounded: questions, for which somebody waits, and records of connections that
/// have ended. Questions leave first, so however many connections end at once, no question is lost
/// to them or waits behind them, except that records that wait have a quarter of each Drain: one
/// pod that asks without end must not silence the access log of the node. What finds no room is
/// dropped and counted: a dropped question ends as VERDICT_TIMEOUT or SERVFAIL, a dropped record is
/// still in the flow rows. What answers a command (BatchDone and what comes before it, PodReleased,
/// PodFault) keeps its place among the questions and is never dropped: it is bounded by the
/// commands.
class EventQueue {
 public:
  /// `max` of each.
  EventQueue(EventSink* sink, size_t max) : sink_(sink), max_(max) {}

  void Push(msg::Event event);
  /// Appends a batch of at most `max` events. `*dropped` is the number of records that found no
  /// room since the last call. Wakes the sink again when more are left.
  size_t Drain(std::vector<uint8_t>* packed, size_t max, uint64_t* dropped);
  uint64_t questions_dropped() const;
  uint64_t records_dropped() const;

 private:
  EventSink* const sink_;
  const size_t max_;
  mutable std::mutex mutex_;
  std::deque<msg::Event> questions_;  // the rest: under mutex_
  std::deque<msg::Event> records_;
  bool woken_ = false;
  uint64_t questions_dropped_ = 0;
  uint64_t records_dropped_ = 0;
  uint64_t records_dropped_told_ = 0;  // by Drain
};

}  // namespace groundwire
