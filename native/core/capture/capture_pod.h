// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <memory>

#include "capture/capture.h"
#include "capture/capture_node.h"

namespace groundwire {

/// NodeCapture::CapturePod. A pod whose pins a dead agent left is taken over: its connections wait
/// at most for the listeners.
Result<std::unique_ptr<PodCapture>> CapturePodIn(const std::shared_ptr<NodeState>& node,
                                                 const PodCaptureOptions& options);

}  // namespace groundwire
