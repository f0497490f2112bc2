// SPDX-License-Identifier: Apache-2.0
// The two clocks: monotonic for waiting and durations, wall for certificates and for people.
#pragma once
#include <cstdint>

namespace groundwire {

uint64_t MonotonicUs();
uint64_t WallMs();

}  // namespace groundwire
