// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <algorithm>
#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/unique_fd.h"
#include "capture/capture.h"

namespace groundwire {

/// A captured pod of this node, shared by the control thread and every worker. Immutable but for
/// `capture`, which belongs to the control thread, and the count of connections; the namespace stays
/// open as long as a connection of the pod lives.
struct Pod {
  uint32_t id = 0;
  std::string uid;
  std::vector<IpAddress> addresses;
  std::string identity;
  int netns_fd = -1;
  UniqueFd outbound;
  UniqueFd inbound_plaintext;
  UniqueFd inbound_hbone;
  UniqueFd dns_udp;
  UniqueFd dns_tcp;
  /// Ports of the TCP listeners above: nobody may be connected to these through the mesh.
  std::vector<uint16_t> listener_ports;
  std::unique_ptr<PodCapture> capture;
  /// Live ones, of all workers: its part of connections_max.
  mutable std::atomic<int64_t> connections{0};

  bool HasAddress(const IpAddress& address) const {
    return std::find(addresses.begin(), addresses.end(), address) != addresses.end();
  }
  bool IsListenerPort(uint16_t port) const {
    return std::find(listener_ports.begin(), listener_ports.end(), port) != listener_ports.end();
  }
};

}  // namespace groundwire
