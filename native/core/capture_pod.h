// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <memory>

#include "capture.h"
#include "capture_node.h"

namespace groundwire {

/// NodeCapture::CapturePod. A pod whose pins a dead agent left is taken over: its connections wait
/// at most for the listeners.
Result<std::unique_ptr<PodCapture>> CapturePodIn(const std::shared_ptr<NodeState>& node,
                                                 const PodCaptureOptions& options);

/// Removes the pins and map entries of pods whose namespace is gone, of captures and releases that
/// were never finished (with what they left in a namespace that lives), and gate entries that
/// belong to no pin. Returns how many were swept.
size_t SweepPods(const NodeState& node);

}  // namespace groundwire
