// SPDX-License-Identifier: Apache-2.0
// Which kernel features capture needs and this machine has, found by doing what capture does, not
// by version numbers.
#pragma once
#include <vector>

#include "capture/capture.h"
#include "port/messages.gen.h"

namespace groundwire {

/// Tries each feature and leaves nothing behind. Works without root: it then says
/// what root would bring. Blocks for some milliseconds.
std::vector<msg::KernelFeature> ProbeKernel(const NodeCaptureOptions& options);

}  // namespace groundwire
