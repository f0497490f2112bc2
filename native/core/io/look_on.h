// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <algorithm>
#include <cstddef>
#include <cstdint>

namespace groundwire {

/// Decides how long a loop looks on instead of sleeping once it has forwarded a request.
///
/// Most of a short round trip is wake-ups: six of them through two agents. An answer that is likely
/// to come soon is waited for awake. The moment follows a running estimate of the answers' delay;
/// there is none after an answer was forwarded, none for bulk data, none where answers take longer
/// than the bound, and none while others want the processor, so an idle mesh and a busy machine pay
/// nothing. Measured in docs/adr/0013.
class LookOn {
 public:
  /// `max_us` bounds a moment; 1 is as good as never.
  explicit LookOn(uint32_t max_us = 200) : max_us_(max_us) {}

  /// Bytes went towards whoever will answer.
  void NoteRequest(uint64_t now_us, size_t size) {
    if (size > kRequestBytesMax || estimate_us_ > max_us_ || now_us < busy_until_us_) return;
    until_us_ = now_us + std::min<uint64_t>(max_us_, estimate_us_ * 2 + kSlackUs);
  }

  /// An answer passed that much later than its request.
  void NoteAnswer(uint64_t delay_us) {
    // An outlier counts as just too long, so that a few ordinary answers bring the estimate back.
    const uint64_t bounded = std::min<uint64_t>(delay_us, uint64_t{max_us_} * 4);
    estimate_us_ = (estimate_us_ * 7 + bounded) / 8;
    until_us_ = 0;
  }

  /// Giving the processor away took that long. Returns whether somebody else has work for it; there
  /// are no moments for a while then.
  bool NoteYield(uint64_t now_us, uint64_t taken_us) {
    if (taken_us < kBusyYieldUs) return false;
    until_us_ = 0;
    busy_until_us_ = now_us + kBusyUs;
    return true;
  }

  uint64_t until_us() const { return until_us_; }

 private:
  // More than this is bulk: its answer, if any, follows the last of many blocks.
  static constexpr size_t kRequestBytesMax = 16 * 1024;
  static constexpr uint64_t kSlackUs = 20;
  // Longer than most handlers of a small request; a scheduler's slice is milliseconds.
  static constexpr uint64_t kBusyYieldUs = 200;
  // On a busy machine who gives the processor away waits for it longer than who is woken.
  static constexpr uint64_t kBusyUs = 1000000;

  uint32_t max_us_;
  uint64_t estimate_us_ = 0;
  uint64_t until_us_ = 0;
  uint64_t busy_until_us_ = 0;
};

/// One connection's part in it: when its last request passed.
class RequestTimer {
 public:
  void Request(LookOn* look_on, uint64_t now_us, size_t size) {
    request_us_ = now_us;
    look_on->NoteRequest(now_us, size);
  }
  void Answer(LookOn* look_on, uint64_t now_us) {
    if (request_us_ == 0) return;
    look_on->NoteAnswer(now_us - request_us_);
    request_us_ = 0;
  }

 private:
  uint64_t request_us_ = 0;
};

}  // namespace groundwire
