// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <string>

namespace groundwire {

/// Names the calling thread, for `top -H` and `perf`; at most 15 bytes.
void NameThread(const std::string& name);

/// Asks the scheduler for short slices for the calling thread: its share of the processor stays,
/// but it comes sooner and in smaller pieces. Linux 6.12 and later; an older kernel does nothing.
/// Measured in docs/adr/0015.
void AskForShortSlices();

}  // namespace groundwire
