// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace groundwire {

/// Asks the scheduler for short slices for the calling thread: its share of the processor stays,
/// but it comes sooner and in smaller pieces. Linux 6.12 and later; an older kernel does nothing.
void AskForShortSlices();

}  // namespace groundwire
