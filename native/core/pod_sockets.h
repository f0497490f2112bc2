// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "capture.h"

namespace groundwire {

/// The sockets a worker opens in a pod's namespace. An interface so that core runs in tests without
/// namespaces; the real one forwards to the functions at the end of capture.h. Called by every
/// worker: implementations keep no state.
class PodSockets {
 public:
  virtual ~PodSockets() = default;
  virtual Result<int> OpenPodSocket(int netns_fd, int family) = 0;
  virtual Result<int> OpenDeliverySocket(int netns_fd, const SocketAddress& client,
                                         const SocketAddress& application) = 0;
  virtual Result<int> OpenDnsReplySocket(int netns_fd, const SocketAddress& server) = 0;
  virtual Result<int> OpenDnsQuerySocket(int netns_fd, int family) = 0;
  virtual bool IsDelivery(int accepted) = 0;
};

}  // namespace groundwire
