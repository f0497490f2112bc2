// SPDX-License-Identifier: Apache-2.0
// What capture changes in a pod's network namespace besides programs: rules, two tables, four
// sysctls.
//
//   470: ipproto udp sport 61000-64999 dport 53   goto 474   the agent's own DNS queries
//   471: fwmark M2              lookup 47572   answers to the agent's deliveries
//   472: fwmark M1              lookup 47571   captured connections
//   473: ipproto udp dport 53   lookup 47571   DNS queries
//   474: nop
//   475: fwmark M2              prohibit       bound to a device, so the tables above have no route
//   476: fwmark M1              prohibit
//   47571: local default dev lo src POD
//   47572: local default dev lo
//
// for each family the pod has an address of.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "base/status.h"
#include "mesh_abi.h"

namespace groundwire {

/// Idempotent; also takes the rules of DNS away when the pod's flags have no DNS.
Status InstallRoutes(int netns_fd, const mesh_pod& pod);
/// Puts back what is missing of it, and says what that was. Fails when packets of capture still go
/// elsewhere: something in the namespace comes before.
Result<std::vector<std::string>> RepairRoutes(int netns_fd, const mesh_pod& pod);
/// DNS queries leave the pod as before.
Status RemoveDnsRules(int netns_fd, const mesh_pod& pod);
Status RemoveRoutes(int netns_fd, const mesh_pod& pod);

/// MESH_SYSCTL_* that are not as capture needs them and that SetSysctls would change.
Result<uint32_t> FindSysctlsToChange(int netns_fd, const mesh_pod& pod);
Status SetSysctls(int netns_fd, uint32_t sysctls, bool on);

}  // namespace groundwire
