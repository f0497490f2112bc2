// SPDX-License-Identifier: Apache-2.0
// A pinned attachment of a program. What is pinned and still attached to the right place has its
// program replaced atomically, so that a new agent takes over without a connection seeing neither
// program nor both.
#pragma once
#include <cstdint>
#include <string>

#include "base/status.h"
#include "base/unique_fd.h"

namespace groundwire {

/// `attach_type` is one of enum bpf_attach_type; `cgroup_fd` an open cgroup v2 directory.
Result<UniqueFd> AttachToCgroup(int program, int cgroup_fd, int attach_type,
                                const std::string& pin);
Result<UniqueFd> AttachToNetns(int program, int netns_fd, int attach_type, const std::string& pin);

enum class DeviceHook { kIngress, kEgress };
/// To a device of the calling thread's network namespace, before the programs it has (tcx). EINVAL
/// before Linux 6.6.
Result<UniqueFd> AttachToDevice(int program, uint32_t ifindex, DeviceHook hook,
                                const std::string& pin);

/// Whether this kernel has the hook of AttachToDevice: attaches to loopback for a moment.
Status TryAttachToDevice(int program);

/// False when what it was attached to is gone; the pin is then only a name.
Result<bool> IsLinkAlive(int link);

}  // namespace groundwire
