// SPDX-License-Identifier: Apache-2.0
#include "base/clock.h"

#include <ctime>

namespace groundwire {
namespace {

uint64_t ReadUs(clockid_t clock) {
  timespec now{};
  clock_gettime(clock, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1000000 + static_cast<uint64_t>(now.tv_nsec) / 1000;
}

}  // namespace

uint64_t MonotonicUs() { return ReadUs(CLOCK_MONOTONIC); }
uint64_t WallMs() { return ReadUs(CLOCK_REALTIME) / 1000; }

}  // namespace groundwire
