// SPDX-License-Identifier: Apache-2.0
// The kernel side played on the loopback device of a network namespace of the test's own, where all
// of 10.202.0.0/16 is local: a pod is an address in it, and "captured" is what dials the port of
// the pod's listener.
#pragma once
#include <condition_variable>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "base/unique_fd.h"
#include "capture/capture.h"
#include "capture/pod_sockets.h"

namespace groundwire {

/// What the test reads and sets from outside of the engine.
struct LoopbackNode {
  std::mutex mutex;
  std::map<uint32_t, PodListeners> listeners;  // by pod
  std::map<uint32_t, std::string> last_call;   // by pod: captured, stopped, released
  std::vector<TcpPair> uncaptured;
  UniqueFd next_outbound;  // the next pod's outbound listener, when it is valid
  int counter_reads = 0;
  bool hold_counter_reads = false;
  std::condition_variable counter_reads_go_on;
  Status capture_error;
  Status release_error;
  Status find_uncaptured_error;
  Status close_uncaptured_error;
  Status repair_error;
  std::vector<std::string> undone;  // what the next look at a pod finds missing

  PodListeners ListenersOf(uint32_t pod);
  std::string LastCallOf(uint32_t pod);
};

/// Moves the calling thread, and those it starts, to the namespace. Once a process; later calls do
/// nothing.
void EnterPrivateNetwork();

/// A client whose connections pass for deliveries of the engine's own that came back to it: a mark
/// would need privileges.
inline constexpr char kReturnedClient[] = "10.202.254.254";

/// Listeners are bound to the wildcard address, ports chosen by the kernel.
std::unique_ptr<NodeCapture> MakeLoopbackCapture(LoopbackNode* node);
std::unique_ptr<PodSockets> MakeLoopbackSockets();

uint16_t PortOf(int fd);
SocketAddress PeerAddress(int fd);
SocketAddress At(const std::string& ip, uint16_t port);
/// A blocking client or server socket with a receive timeout, so that a failing test ends.
UniqueFd ListenOn(const std::string& address, uint16_t port = 0);
UniqueFd ConnectTo(const SocketAddress& address, const std::string& from = "10.202.0.1");
UniqueFd AcceptOne(const UniqueFd& listener);
bool WaitReadable(int fd, int timeout_ms);
bool SendAll(const UniqueFd& fd, const std::string& bytes);
/// Sends until nothing more is taken for a while, and says how much.
size_t FillUp(const UniqueFd& fd, const std::string& flood);
/// Until `size` bytes, the end, or a reset.
std::string ReceiveUpTo(const UniqueFd& fd, size_t size);
/// What the next recv says: "data", "end", "reset" or "nothing" within the time.
std::string Peek(const UniqueFd& fd, int timeout_ms = 5000);

}  // namespace groundwire
