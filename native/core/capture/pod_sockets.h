// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <memory>

#include "base/address.h"
#include "base/status.h"

namespace groundwire {

/// The sockets a worker opens in a pod's namespace; the caller owns what it gets. An interface so that
/// core runs in tests without namespaces. Called by every worker: implementations keep no state.
class PodSockets {
 public:
  virtual ~PodSockets() = default;
  /// A non-blocking TCP socket of `family` made in that namespace: for dialling a tunnel or a
  /// passthrough destination as the pod.
  virtual Result<int> OpenPodSocket(int netns_fd, int family) = 0;
  /// The same with IP_TRANSPARENT and MESH_MARK_REPLY, bound to the client's address: for delivering
  /// to the application. When the client's address is the pod's own (it called itself), the plain
  /// pod socket is returned.
  virtual Result<int> OpenDeliverySocket(int netns_fd, const SocketAddress& client,
                                         const SocketAddress& application) = 0;
  /// A UDP socket in that namespace that answers from `server` (IP_TRANSPARENT), for DNS.
  virtual Result<int> OpenDnsReplySocket(int netns_fd, const SocketAddress& server) = 0;
  /// A UDP socket of `family` in that namespace whose queries to port 53 leave the pod instead of
  /// coming back to the agent.
  virtual Result<int> OpenDnsQuerySocket(int netns_fd, int family) = 0;
  /// Whether a connection that a pod's listener accepted is a delivery of OpenDeliverySocket, which
  /// the kernel steered to the agent again instead of letting it through to the application.
  virtual bool IsDelivery(int accepted) = 0;
};

std::unique_ptr<PodSockets> MakePodSockets();

}  // namespace groundwire
