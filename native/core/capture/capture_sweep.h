// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "base/status.h"
#include "capture/capture_node.h"

namespace groundwire {

/// Removes the pins and map entries of pods whose namespace is gone, of captures and releases that
/// were never finished (with what they left in a namespace that lives), and gate entries that
/// belong to no pin. What cannot be read stays as it is: it may be the steering of a pod that
/// lives. Counts in `sweep_skipped` what it left to the next agent. Fails when it cannot tell which
/// pods there are.
Status SweepPods(NodeState* node);

}  // namespace groundwire
