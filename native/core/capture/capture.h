// SPDX-License-Identifier: Apache-2.0
// The kernel side of capture: eBPF objects, per-pod listeners and rules in a pod's network namespace.
// Owned by the engine's control thread.
#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/address.h"
#include "base/status.h"

namespace groundwire {

struct NodeCaptureOptions {
  std::string pin_directory;  // in bpffs; created 0700, locked with flock while open
  std::string pods_cgroup;    // cgroup v2 ancestor of all pods
  std::string agent_cgroup;   // cgroup v2 whose sockets are the agent's own
  std::string probe_cgroup;   // kubelet's cgroup; "" = none
  std::string bpf_directory;  // compiled objects
};

/// Bound, listening, non-blocking, close-on-exec; owned by the receiver. dns_* are -1 when DNS is
/// not captured.
struct PodListeners {
  int outbound = -1;
  int inbound_plaintext = -1;
  int inbound_hbone = -1;
  int dns_udp = -1;
  int dns_tcp = -1;
};

struct PodCaptureOptions {
  uint32_t pod = 0;
  std::string uid;
  std::string netns_path;
  std::vector<IpAddress> addresses;
  bool dns = true;
};

/// A pod's kernel state. Destroying it closes handles and keeps the pins (fail closed); Release
/// removes everything.
class PodCapture {
 public:
  virtual ~PodCapture() = default;
  virtual int netns_fd() const = 0;
  virtual const PodListeners& listeners() const = 0;
  /// Established connections that were there before capture began (sock_diag), without the agent's
  /// own.
  virtual Result<std::vector<TcpPair>> FindUncaptured() = 0;
  virtual Status CloseUncaptured(const std::vector<TcpPair>& connections) = 0;
  /// Looks whether all is there that capture needs, puts back what is not, and says what that was;
  /// fails when it cannot. Not after StopSteering.
  virtual Result<std::vector<std::string>> Repair() = 0;
  /// New connections are no longer steered; rules stay so that live ones can end.
  virtual Status StopSteering() = 0;
  /// After StopSteering: rules, routes, sysctls, links, pins.
  virtual Status Release() = 0;
};

class NodeCapture {
 public:
  /// Loads and attaches (or takes over from pins) the node-wide programs. The verifier's log is in
  /// the error's detail.
  static Result<std::unique_ptr<NodeCapture>> Open(const NodeCaptureOptions& options);
  virtual ~NodeCapture() = default;
  /// In the pod's namespace: listeners, steering program, rules, then the gate of the connect hook.
  /// All or nothing.
  virtual Result<std::unique_ptr<PodCapture>> CapturePod(const PodCaptureOptions& options) = 0;
  /// The same for what all pods share.
  virtual Result<std::vector<std::string>> Repair() = 0;
  /// (name, sum over CPUs) of every counter in mesh_abi.h, and how full each map is.
  virtual Result<std::vector<std::pair<std::string, uint64_t>>> ReadCounters() = 0;
};

}  // namespace groundwire
