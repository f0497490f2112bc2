// SPDX-License-Identifier: Apache-2.0
// What a pod's capture needs of the node's: the maps, and where its own pins go.
#pragma once
#include <cstdint>
#include <string>

#include "base/unique_fd.h"

namespace groundwire {

/// Shared by the node and its pods; lives until the last of them is gone. `lock` is the claim on
/// the directory.
struct NodeState {
  std::string directory;      // in bpffs
  std::string bpf_directory;  // compiled objects
  uint64_t agent_cgroup_id = 0;
  UniqueFd lock;
  UniqueFd pods;       // mesh_pods
  UniqueFd addresses;  // mesh_addresses
  UniqueFd approvals;  // mesh_approvals
  UniqueFd counters;   // mesh_counters
  UniqueFd old_flows;  // mesh_old_flows
  UniqueFd guard;      // the program; invalid where the kernel has no place for it
  /// Pods that SweepPods left as they were, since it could not read or undo all that is theirs.
  uint64_t sweep_skipped = 0;
  /// Connections older than capture that mesh_old_flows had no room for.
  uint64_t old_flows_full = 0;
  /// Pods captured without a guard.
  uint64_t guard_unsupported = 0;
  /// Devices of pods that were not guarded, each time that they were seen.
  uint64_t guard_devices_full = 0;

  std::string MapPin(const char* map) const { return directory + "/" + map; }
  std::string PodsDirectory() const { return directory + "/pods"; }
};

}  // namespace groundwire
