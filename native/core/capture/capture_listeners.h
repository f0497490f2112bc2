// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "capture/capture.h"
#include "mesh_abi.h"

namespace groundwire {

/// Opens a pod's listeners in its namespace, dual stack, or IPv4 alone where there is no IPv6. They
/// are bound to the wildcard and ports of 65000 to 65535 that the pod leaves free: connections come
/// by sk_lookup, and steer.bpf.c drops what comes by port. DNS only when asked for. dns_udp tells the asked address of each datagram as
/// IPV6_PKTINFO (mapped for IPv4), or IP_PKTINFO without IPv6.
Result<PodListeners> OpenListeners(int netns_fd, bool dns);
void CloseListeners(PodListeners* listeners);
/// Into the pod's sockmap; a slot without a listener is left empty.
Status FillListeners(int sockmap, const std::array<int, MESH_LISTENERS>& listeners);
/// Listens again where somebody has ended a listener (SOCK_DESTROY), fills slots that do not hold
/// theirs, and says which.
Result<std::vector<std::string>> RepairListeners(int sockmap, const PodListeners& listeners);
/// By MESH_LISTENER_*; -1 where there is none.
std::array<int, MESH_LISTENERS> ListenerSlots(const PodListeners& listeners);
/// The port a listener is bound to, host order; 0 for -1.
uint16_t ListenerPort(int fd);

}  // namespace groundwire
