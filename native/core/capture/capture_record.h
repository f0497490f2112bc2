// SPDX-License-Identifier: Apache-2.0
// What is pinned of a captured pod, so that the next agent can take it over or undo it.
#pragma once
#include <string>

#include "base/status.h"
#include "mesh_abi.h"

namespace groundwire {

/// The steering program's link, in the pod's pin directory.
inline constexpr char kLinkSteer[] = "link_steer";
/// Before a pod's directory until it is complete; PinName never begins with it.
inline constexpr char kUnfinished[] = "+";

Result<mesh_pod_state> ReadPodRecord(const std::string& directory);
Status WritePodRecord(const std::string& directory, const mesh_pod_state& state);

}  // namespace groundwire
