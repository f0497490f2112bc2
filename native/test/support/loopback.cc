// SPDX-License-Identifier: Apache-2.0
#include "support/loopback.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <thread>
#include <utility>

#include "io/socket_options.h"

namespace groundwire {
namespace {

[[noreturn]] void Die(const char* what) {
  std::perror(what);
  std::abort();
}

void SetInterface(int fd, const char* name, unsigned long request, const char* address) {
  ifreq interface {};
  std::strncpy(interface.ifr_name, name, IFNAMSIZ - 1);
  auto* in = reinterpret_cast<sockaddr_in*>(&interface.ifr_addr);
  in->sin_family = AF_INET;
  inet_pton(AF_INET, address, &in->sin_addr);
  if (ioctl(fd, request, &interface) != 0) Die("configure loopback");
}

int BoundSocket(const std::string& address, uint16_t port, int type) {
  const int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);
  const int on = 1;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  sockaddr_storage storage;
  const socklen_t length = At(address, port).ToSockaddr(AF_INET, &storage);
  if (bind(fd, reinterpret_cast<const sockaddr*>(&storage), length) != 0) Die("bind");
  return fd;
}

int BoundListener(const std::string& address, uint16_t port, int flags) {
  const int fd = BoundSocket(address, port, SOCK_STREAM | flags);
  if (listen(fd, 4096) != 0) Die("listen");
  return fd;
}

class LoopbackPod final : public PodCapture {
 public:
  LoopbackPod(LoopbackNode* node, uint32_t pod, const PodListeners& listeners)
      : node_(node), pod_(pod), listeners_(listeners) {
    (void)Note("captured");
  }
  /// Not a descriptor: the loopback sockets read the pod from it, and with that the address to dial
  /// from.
  int netns_fd() const override { return static_cast<int>(pod_); }
  const PodListeners& listeners() const override { return listeners_; }
  Result<std::vector<TcpPair>> FindUncaptured() override {
    const std::lock_guard lock(node_->mutex);
    if (!node_->find_uncaptured_error.ok()) return node_->find_uncaptured_error;
    return node_->uncaptured;
  }
  Status CloseUncaptured(const std::vector<TcpPair>&) override {
    const std::lock_guard lock(node_->mutex);
    return node_->close_uncaptured_error;
  }
  Result<std::vector<std::string>> Repair() override {
    const std::lock_guard lock(node_->mutex);
    if (!node_->repair_error.ok()) return node_->repair_error;
    return std::exchange(node_->undone, {});
  }
  Status StopSteering() override { return Note("stopped"); }
  Status Release() override {
    {
      const std::lock_guard lock(node_->mutex);
      if (!node_->release_error.ok()) return node_->release_error;
    }
    return Note("released");
  }

 private:
  Status Note(const char* call) {
    const std::lock_guard lock(node_->mutex);
    node_->last_call[pod_] = call;
    return Status::Ok();
  }
  LoopbackNode* const node_;
  const uint32_t pod_;
  const PodListeners listeners_;
};

class LoopbackCapture final : public NodeCapture {
 public:
  explicit LoopbackCapture(LoopbackNode* node) : node_(node) {}
  Result<std::unique_ptr<PodCapture>> CapturePod(const PodCaptureOptions& options) override {
    PodListeners listeners;
    {
      const std::lock_guard lock(node_->mutex);
      if (!node_->capture_error.ok()) return node_->capture_error;
      listeners.outbound = node_->next_outbound.valid()
                               ? node_->next_outbound.Release()
                               : BoundListener("0.0.0.0", 0, SOCK_NONBLOCK);
      listeners.inbound_plaintext = BoundListener("0.0.0.0", 0, SOCK_NONBLOCK);
      listeners.inbound_hbone = BoundListener("0.0.0.0", 0, SOCK_NONBLOCK);
      if (options.dns) {
        listeners.dns_tcp = BoundListener("0.0.0.0", 0, SOCK_NONBLOCK);
        listeners.dns_udp = BoundSocket("0.0.0.0", 0, SOCK_DGRAM | SOCK_NONBLOCK);
        const int on = 1;
        setsockopt(listeners.dns_udp, SOL_IP, IP_PKTINFO, &on, sizeof on);
      }
      node_->listeners[options.pod] = listeners;
    }
    return std::unique_ptr<PodCapture>(
        std::make_unique<LoopbackPod>(node_, options.pod, listeners));
  }
  Result<std::vector<std::string>> Repair() override { return std::vector<std::string>(); }
  Result<std::vector<std::pair<std::string, uint64_t>>> ReadCounters() override {
    std::unique_lock lock(node_->mutex);
    ++node_->counter_reads;
    node_->counter_reads_go_on.wait(lock, [this] { return !node_->hold_counter_reads; });
    return std::vector<std::pair<std::string, uint64_t>>{{"kernel_steered", 7}};
  }

 private:
  LoopbackNode* const node_;
};

class LoopbackSockets final : public PodSockets {
 public:
  Result<int> OpenPodSocket(int netns_fd, int) override {
    return From(At("10.202." + std::to_string(netns_fd) + ".1", 0));
  }
  Result<int> OpenDeliverySocket(int, const SocketAddress& client, const SocketAddress&) override {
    return From({client.ip, 0});
  }
  Result<int> OpenDnsReplySocket(int, const SocketAddress& server) override {
    return BoundSocket(server.ip.ToString(), server.port, SOCK_DGRAM | SOCK_NONBLOCK);
  }
  Result<int> OpenDnsQuerySocket(int netns_fd, int) override {
    return BoundSocket("10.202." + std::to_string(netns_fd) + ".1", 0, SOCK_DGRAM | SOCK_NONBLOCK);
  }
  bool IsDelivery(int accepted) override {
    return PeerAddress(accepted).ip == IpAddress::Parse(kReturnedClient);
  }

 private:
  static Result<int> From(const SocketAddress& address) {
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) return Status::Error("socket", errno);
    // As the real ones: the port is chosen at connect.
    const int on = 1;
    setsockopt(fd, SOL_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
    sockaddr_storage storage;
    const socklen_t length = address.ToSockaddr(AF_INET, &storage);
    if (bind(fd, reinterpret_cast<const sockaddr*>(&storage), length) != 0) {
      close(fd);
      return Status::Error("bind", errno);
    }
    return fd;
  }
};

}  // namespace

void EnterPrivateNetwork() {
  static const bool entered = [] {
    // Root needs no user namespace, and a sanitizer's helper thread forbids making one.
    const int flags = geteuid() == 0 ? CLONE_NEWNET : CLONE_NEWUSER | CLONE_NEWNET;
    if (unshare(flags) != 0) Die("unshare (these tests need root or unprivileged user namespaces)");
    const UniqueFd fd(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    ifreq interface {};
    std::strncpy(interface.ifr_name, "lo", IFNAMSIZ - 1);
    interface.ifr_flags = IFF_UP;
    if (ioctl(fd.get(), SIOCSIFFLAGS, &interface) != 0) Die("loopback up");
    SetInterface(fd.get(), "lo:1", SIOCSIFADDR, "10.202.0.1");
    SetInterface(fd.get(), "lo:1", SIOCSIFNETMASK, "255.255.0.0");
    return true;
  }();
  (void)entered;
}

PodListeners LoopbackNode::ListenersOf(uint32_t pod) {
  const std::lock_guard lock(mutex);
  return listeners[pod];
}

std::string LoopbackNode::LastCallOf(uint32_t pod) {
  const std::lock_guard lock(mutex);
  return last_call[pod];
}

std::unique_ptr<NodeCapture> MakeLoopbackCapture(LoopbackNode* node) {
  return std::make_unique<LoopbackCapture>(node);
}

std::unique_ptr<PodSockets> MakeLoopbackSockets() { return std::make_unique<LoopbackSockets>(); }

SocketAddress PeerAddress(int fd) {
  sockaddr_storage storage{};
  socklen_t length = sizeof storage;
  if (getpeername(fd, reinterpret_cast<sockaddr*>(&storage), &length) != 0) return {};
  return SocketAddress::FromSockaddr(storage);
}

uint16_t PortOf(int fd) { return LocalAddress(fd).port; }

SocketAddress At(const std::string& ip, uint16_t port) { return {*IpAddress::Parse(ip), port}; }

UniqueFd ListenOn(const std::string& address, uint16_t port) {
  return UniqueFd(BoundListener(address, port, 0));
}

UniqueFd ConnectTo(const SocketAddress& address, const std::string& from) {
  UniqueFd fd(BoundSocket(from, 0, SOCK_STREAM));
  const timeval timeout{10, 0};
  setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
  setsockopt(fd.get(), SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof timeout);
  sockaddr_storage storage;
  const socklen_t length = address.ToSockaddr(AF_INET, &storage);
  if (connect(fd.get(), reinterpret_cast<const sockaddr*>(&storage), length) != 0) fd.Reset();
  return fd;
}

UniqueFd AcceptOne(const UniqueFd& listener) {
  if (!WaitReadable(listener.get(), 10000)) return UniqueFd();
  UniqueFd fd(accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
  const timeval timeout{10, 0};
  setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
  setsockopt(fd.get(), SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof timeout);
  return fd;
}

bool WaitReadable(int fd, int timeout_ms) {
  pollfd poll_fd{fd, POLLIN, 0};
  return poll(&poll_fd, 1, timeout_ms) == 1;
}

bool SendAll(const UniqueFd& fd, const std::string& bytes) {
  size_t sent = 0;
  while (sent < bytes.size()) {
    const ssize_t count = send(fd.get(), bytes.data() + sent, bytes.size() - sent, MSG_NOSIGNAL);
    if (count <= 0) return false;
    sent += static_cast<size_t>(count);
  }
  return true;
}

size_t FillUp(const UniqueFd& fd, const std::string& flood) {
  size_t taken = 0;
  for (int idle = 0; idle < 20 && taken < flood.size();) {
    const ssize_t count =
        send(fd.get(), flood.data() + taken, flood.size() - taken, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (count > 0) {
      taken += static_cast<size_t>(count);
      idle = 0;
    } else {
      ++idle;
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
  }
  return taken;
}

std::string ReceiveUpTo(const UniqueFd& fd, size_t size) {
  std::string bytes(size, '\0');
  size_t got = 0;
  while (got < size) {
    const ssize_t count = recv(fd.get(), bytes.data() + got, size - got, 0);
    if (count <= 0) break;
    got += static_cast<size_t>(count);
  }
  bytes.resize(got);
  return bytes;
}

std::string Peek(const UniqueFd& fd, int timeout_ms) {
  if (!WaitReadable(fd.get(), timeout_ms)) return "nothing";
  char byte = 0;
  const ssize_t count = recv(fd.get(), &byte, 1, MSG_PEEK);
  if (count > 0) return "data";
  return count == 0 ? "end" : "reset";
}

}  // namespace groundwire
