// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "capture.h"

namespace groundwire {

/// Opens a pod's listeners in its namespace, dual stack, or IPv4 alone where there is no IPv6. Their own address is
/// [::1] and any port: connections come by sk_lookup, never by address. DNS only when asked for.
/// dns_udp tells the asked address of each datagram as IPV6_PKTINFO (mapped for IPv4), or IP_PKTINFO without IPv6.
Result<PodListeners> OpenListeners(int netns_fd, bool dns);
void CloseListeners(PodListeners* listeners);

}  // namespace groundwire
