// SPDX-License-Identifier: Apache-2.0
// Events on their way to TypeScript: filled by every engine thread, emptied by one.
#pragma once
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <mutex>
#include <utility>
#include <vector>

#include "port/fair_queue.h"
#include "port/messages.gen.h"

namespace groundwire {

/// Told, from any engine thread, that events wait. Called once until the next Drain; must not call
/// back or block.
class EventSink {
 public:
  virtual ~EventSink() = default;
  virtual void Wake() = 0;
};

/// Three lanes:
///
///   replies     what answers a command (BatchDone and what comes before it, PodReleased, PodFault):
///               leaves first and is never dropped; bounded by the commands
///   questions   somebody waits for an answer
///   records     connections that have ended
///
/// Questions leave before records, so however many connections end at once, no question waits behind
/// them; but records that wait have a quarter of each Drain: one pod that asks without end must not
/// silence the access log of the node. Within both lanes the pods take turns, and both are bounded, see
/// FairQueue. What finds no room is dropped and counted: a dropped question ends as VERDICT_TIMEOUT or
/// SERVFAIL, a dropped record is still in the flow rows.
class EventQueue {
 public:
  EventQueue(EventSink* sink, size_t question_bytes_max, size_t record_bytes_max)
      : sink_(sink), questions_(question_bytes_max), records_(record_bytes_max) {}

  template <typename Event>
  void Push(const Event& event) {
    std::vector<uint8_t> packed = msg::Pack(event);
    if constexpr (std::same_as<Event, msg::ConnectionClosed>) {
      PushRecord(event.pod, std::move(packed));
    } else if constexpr (IsQuestion<Event>) {
      PushQuestion(event.pod, std::move(packed));
    } else {
      PushReply(std::move(packed));
    }
  }
  /// Appends a batch of at most `max` events. `*dropped` is the number of records that found no
  /// room since the last call. Wakes the sink again when more are left.
  size_t Drain(std::vector<uint8_t>* packed, size_t max, uint64_t* dropped);
  uint64_t questions_dropped() const;
  uint64_t records_dropped() const;
  size_t question_bytes() const;
  size_t record_bytes() const;

 private:
  template <typename Event>
  static constexpr bool IsQuestion = std::same_as<Event, msg::DnsQuery> ||
                                     requires(const Event& event) {
    event.question;
  };

  void PushReply(std::vector<uint8_t> packed);
  void PushQuestion(uint32_t pod, std::vector<uint8_t> packed);
  void PushRecord(uint32_t pod, std::vector<uint8_t> packed);
  /// Whether the sink is to be told.
  bool NeedsWake() { return !std::exchange(woken_, true); }

  EventSink* const sink_;
  mutable std::mutex mutex_;
  std::deque<std::vector<uint8_t>> replies_;  // the rest: under mutex_
  FairQueue questions_;
  FairQueue records_;
  bool woken_ = false;
  uint64_t questions_dropped_ = 0;
  uint64_t records_dropped_ = 0;
  uint64_t records_dropped_told_ = 0;  // by Drain
};

}  // namespace groundwire
