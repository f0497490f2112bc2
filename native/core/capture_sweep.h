// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstddef>

#include "capture_node.h"

namespace groundwire {

/// Removes the pins and map entries of pods whose namespace is gone, of captures and releases that
/// were never finished (with what they left in a namespace that lives), and gate entries that
/// belong to no pin. Returns how many were swept.
size_t SweepPods(const NodeState& node);

}  // namespace groundwire
