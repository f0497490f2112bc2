// SPDX-License-Identifier: Apache-2.0
// The TCP sockets of a network namespace, as the kernel lists them, and how to end one.
#pragma once
#include <array>
#include <cstdint>
#include <vector>

#include "base/address.h"
#include "kernel/netlink.h"

namespace groundwire {

struct DiagSocket {
  TcpPair pair;
  uint32_t mark = 0;
  uint64_t cgroup_id = 0;  // 0 when the kernel does not say (before 5.7)
  std::array<uint32_t, 2> cookie =
      {};  // names this very socket, not one that has the same addresses later
};

/// Every TCP socket of the namespace that has a peer: connecting, established or half closed.
Result<std::vector<DiagSocket>> ListTcpConnections(NetlinkSocket& netlink);
/// Ends it with a reset to both sides. Gone already is success; a kernel without
/// CONFIG_INET_DIAG_DESTROY is EOPNOTSUPP.
Status DestroyTcpConnection(NetlinkSocket& netlink, const DiagSocket& socket);

}  // namespace groundwire
