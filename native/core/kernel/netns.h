// SPDX-License-Identifier: Apache-2.0
// The one place where a thread changes its network namespace.
#pragma once
#include <cstdint>
#include <string>
#include <utility>

#include "base/status.h"
#include "base/unique_fd.h"

namespace groundwire {

/// Opens /run/netns/NAME or /proc/PID/ns/net. The handle keeps the namespace alive: close it when
/// the pod is gone.
Result<UniqueFd> OpenNetns(const std::string& path);
/// What the kernel calls a namespace: never reused while the machine is up, not stable over a
/// reboot.
Result<uint64_t> NetnsCookie(int socket);

namespace netns_internal {
Status Enter(int netns_fd);
void LeaveOrAbort();
}  // namespace netns_internal

/// Runs `run` with the calling thread in that namespace and returns what it returned (a Status or a
/// Result). A thread that cannot come home would open everybody's sockets in one pod, so that ends
/// the process. `run` must not block.
template <typename Run>
auto InNetns(int netns_fd, Run&& run) -> decltype(run()) {
  if (Status entered = netns_internal::Enter(netns_fd); !entered.ok()) return entered;
  auto result = std::forward<Run>(run)();
  netns_internal::LeaveOrAbort();
  return result;
}

/// A socket made in that namespace, close-on-exec. The rest of its life needs no switch: it knows
/// its namespace.
Result<UniqueFd> SocketInNetns(int netns_fd, int family, int type, int protocol = 0);

}  // namespace groundwire
