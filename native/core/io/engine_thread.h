// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <string>

namespace groundwire {

/// Names the calling thread, for `top -H` and `perf`; at most 15 bytes.
void NameThread(const std::string& name);

/// Pieces in which the scheduler gives a thread its share of the processor.
enum class Slices { kUsual, kShort };

/// Asks the scheduler for such slices for the calling thread: the share stays, but short ones come
/// sooner. Linux 6.12 and later; an older kernel does nothing. Measured in docs/adr/0015.
void AskForSlices(Slices slices);

}  // namespace groundwire
