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
  /// Pods that SweepPods left as they were, since it could not read or undo all that is theirs.
  uint64_t sweep_skipped = 0;

  std::string MapPin(const char* map) const { return directory + "/" + map; }
  std::string PodsDirectory() const { return directory + "/pods"; }
};

}  // namespace groundwire
