// SPDX-License-Identifier: Apache-2.0
// What must hold of a pod before anything of it is changed.
#pragma once
#include "base/status.h"
#include "capture/capture.h"
#include "mesh_abi.h"

namespace groundwire {

Status CheckPodOptions(const PodCaptureOptions& options);
/// What the programs know of the pod; an error when its namespace is not one that can be captured
/// in its name.
Result<mesh_pod> DescribePod(int netns_fd, const PodCaptureOptions& options);

}  // namespace groundwire
