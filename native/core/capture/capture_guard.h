// SPDX-License-Identifier: Apache-2.0
// The guard (bpf/guard.bpf.c) on every way out of a pod, and the connections that it lets pass since
// they are older than it.
#pragma once
#include <string>
#include <vector>

#include "base/status.h"
#include "capture/capture.h"
#include "capture/capture_node.h"
#include "mesh_abi.h"

namespace groundwire {

/// Idempotent, and nothing where the kernel has no place for it (`guard_unsupported`): guards what is not guarded, and lets go of devices that are gone. Devices that
/// stand on others of the same pod lead out through those. Of more than MESH_POD_DEVICES_MAX the
/// first are guarded, the others counted in `guard_devices_full`.
Status InstallGuard(NodeState* node, int netns_fd, const std::string& pins);
/// Guards what has no guard, and says which. What is guarded keeps the program it has.
Result<std::vector<std::string>> RepairGuard(NodeState* node, int netns_fd,
                                             const std::string& pins);
/// Not there is success.
Status RemoveGuard(const std::string& pins);
Result<bool> HasGuard(const std::string& pins);

/// What finds no room is cut off, and counted in `old_flows_full`.
void RememberOldFlows(NodeState* node, const std::vector<TcpPair>& connections);
/// Forgets those of the pod that are not among `live`, and says how many are left.
Result<size_t> KeepOldFlows(const NodeState& node, const mesh_pod& pod,
                            const std::vector<TcpPair>& live);
/// All of a pod's.
Status ForgetOldFlows(const NodeState& node, const mesh_pod& pod);

}  // namespace groundwire
