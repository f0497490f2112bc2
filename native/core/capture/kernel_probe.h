// SPDX-License-Identifier: Apache-2.0
// Which kernel features capture needs and this machine has, found by doing what capture does, not
// by version numbers.
#pragma once
#include <string>
#include <vector>

#include "capture/capture.h"

namespace groundwire {

/// Mirrors KernelFeature in src/engine/port.ts.
struct KernelFeature {
  std::string name;
  bool present = false;
  bool required = false;
  std::string detail;  // what was tried and what the kernel said
  std::string remedy;  // what an operator can do; "" when present
};

/// Tries each feature and leaves nothing behind. Works without root: it then says
/// what root would bring. Blocks for some milliseconds.
std::vector<KernelFeature> ProbeKernel(const NodeCaptureOptions& options);

}  // namespace groundwire
