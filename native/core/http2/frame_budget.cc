// SPDX-License-Identifier: Apache-2.0
#include "http2/frame_budget.h"

namespace groundwire {
namespace {

/// Until the next renewal, by kind. Each frame costs some microseconds: all of them together are
/// some 20 ms in the ten seconds of ping_interval_ms. SETTINGS touch each stream's window, and a
/// reset that the peer forces costs a header list or a request in the access log.
constexpr std::array<uint32_t, kFloodCount> kFramesMax = {
    1000,  // kResets
    500,   // kForcedResets
    1000,  // kEmptyData
    2000,  // kWindowUpdates
    1000,  // kPings
    100,   // kSettings
    1000,  // kOtherFrames
};

}  // namespace

bool FrameBudget::Spend(Flood kind) {
  const bool is_answer = kind == Flood::kWindowUpdates || kind == Flood::kPings;
  if (is_answer && earned_ > 0) {
    --earned_;
    return false;
  }
  const auto index = static_cast<size_t>(kind);
  return ++spent_[index] == kFramesMax[index] + 1;
}

}  // namespace groundwire
