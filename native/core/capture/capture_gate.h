// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "base/address.h"
#include "base/status.h"
#include "capture/capture_node.h"
#include "mesh_abi.h"

namespace groundwire {

/// The entries of the node's maps by which the connect hook knows a captured pod: with them its
/// outbound connections are marked.
Status OpenGate(const NodeState& node, const mesh_pod& pod);
/// Opens it again where an entry is missing or another's, and says so.
Result<std::vector<std::string>> RepairGate(const NodeState& node, const mesh_pod& pod);
/// Idempotent.
Status CloseGate(const NodeState& node, const mesh_pod& pod);
/// Takes one address of a pod out of them, unless another pod has it by now.
void ForgetAddress(const NodeState& node, const mesh_address& address, uint64_t netns_cookie);
mesh_address ToMesh(const IpAddress& address);
bool OwnsAddress(const mesh_pod& pod, const mesh_address& address);

}  // namespace groundwire
