// SPDX-License-Identifier: Apache-2.0
#include "capture/capture_listeners.h"

#include <bpf/bpf.h>
#include <netinet/in.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>

#include "io/socket_transparent.h"
#include "kernel/netns.h"

#ifndef SO_COOKIE
#define SO_COOKIE 57
#endif

namespace groundwire {
namespace {

// One listener takes the connections to every port of the pod; the kernel caps it at
// net.core.somaxconn.
constexpr int kBacklog = 65535;

// Above the ports that Linux gives to sockets which ask for any, where programs have theirs by
// choice too (50051, say), and above those that DNS is asked from.
constexpr uint16_t kPortFirst = 65000;
constexpr uint16_t kPortLast = 65535;
static_assert(kPortFirst > MESH_DNS_SOURCE_PORT_LAST);

Status BindToWildcard(int fd, int family, uint16_t port) {
  // Not to loopback: the kernel makes a socket bound to any IPv6 address but this one IPv6 only,
  // whatever it is told.
  const IpAddress any = family == AF_INET ? *IpAddress::Parse("0.0.0.0") : IpAddress{};
  sockaddr_storage storage = {};
  const socklen_t length = SocketAddress{any, port}.ToSockaddr(family, &storage);
  if (bind(fd, reinterpret_cast<const sockaddr*>(&storage), length) != 0) {
    return Status::Error("bind listener", errno);
  }
  return Status::Ok();
}

Status Prepare(int fd, int family, int type, uint16_t port) {
  const int on = 1;
  const int off = 0;
  if (Status set = SetTransparent(fd, family); !set.ok()) return set;
  // Accepted sockets inherit it, and they have the port of the original destination in the pod's
  // own namespace: without it an application could not listen on a port that the pod has
  // connections to. Of UDP it would share a port with an application.
  if (type == SOCK_STREAM && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0) {
    return Status::Error("setsockopt SO_REUSEADDR", errno);
  }
  if (family == AF_INET6 && setsockopt(fd, SOL_IPV6, IPV6_V6ONLY, &off, sizeof off) != 0) {
    return Status::Error("setsockopt IPV6_V6ONLY", errno);
  }
  if (Status bound = BindToWildcard(fd, family, port); !bound.ok()) return bound;
  if (type == SOCK_STREAM) {
    return listen(fd, kBacklog) == 0 ? Status::Ok() : Status::Error("listen", errno);
  }
  const int told = family == AF_INET ? setsockopt(fd, SOL_IP, IP_PKTINFO, &on, sizeof on)
                                     : setsockopt(fd, SOL_IPV6, IPV6_RECVPKTINFO, &on, sizeof on);
  return told == 0 ? Status::Ok() : Status::Error("setsockopt PKTINFO", errno);
}

Result<int> OpenListenerAt(int netns_fd, int type, uint16_t port) {
  int family = AF_INET6;
  auto fd = SocketInNetns(netns_fd, family, type | SOCK_NONBLOCK);
  if (!fd.ok() && fd.status().errno_value == EAFNOSUPPORT) {
    family = AF_INET;
    fd = SocketInNetns(netns_fd, family, type | SOCK_NONBLOCK);
  }
  if (!fd.ok()) return fd.status();
  if (Status prepared = Prepare(fd.value().get(), family, type, port); !prepared.ok())
    return prepared;
  return fd.value().Release();
}

Result<int> OpenListener(int netns_fd, int type) {
  for (uint16_t port = kPortFirst; port < kPortLast; ++port) {
    auto opened = OpenListenerAt(netns_fd, type, port);
    if (opened.ok() || opened.status().errno_value != EADDRINUSE) return opened;
  }
  return OpenListenerAt(netns_fd, type, kPortLast);
}

/// The kernel's name of a socket, also of one in a sockmap.
uint64_t CookieOf(int fd) {
  uint64_t cookie = 0;
  socklen_t length = sizeof cookie;
  return getsockopt(fd, SOL_SOCKET, SO_COOKIE, &cookie, &length) == 0 ? cookie : 0;
}

}  // namespace

Result<PodListeners> OpenListeners(int netns_fd, bool dns) {
  PodListeners listeners;
  const struct {
    int* slot;
    int type;
    bool wanted;
  } wanted[] = {{&listeners.outbound, SOCK_STREAM, true},
                {&listeners.inbound_plaintext, SOCK_STREAM, true},
                {&listeners.inbound_hbone, SOCK_STREAM, true},
                {&listeners.dns_udp, SOCK_DGRAM, dns},
                {&listeners.dns_tcp, SOCK_STREAM, dns}};
  for (const auto& one : wanted) {
    if (!one.wanted) continue;
    auto opened = OpenListener(netns_fd, one.type);
    if (!opened.ok()) {
      CloseListeners(&listeners);
      return opened.status();
    }
    *one.slot = opened.value();
  }
  return listeners;
}

std::array<int, MESH_LISTENERS> ListenerSlots(const PodListeners& listeners) {
  std::array<int, MESH_LISTENERS> slots = {};
  slots[MESH_LISTENER_OUTBOUND] = listeners.outbound;
  slots[MESH_LISTENER_PLAINTEXT] = listeners.inbound_plaintext;
  slots[MESH_LISTENER_HBONE] = listeners.inbound_hbone;
  slots[MESH_LISTENER_DNS_UDP] = listeners.dns_udp;
  slots[MESH_LISTENER_DNS_TCP] = listeners.dns_tcp;
  return slots;
}

uint16_t ListenerPort(int fd) {
  sockaddr_storage storage = {};
  socklen_t length = sizeof storage;
  if (fd < 0 || getsockname(fd, reinterpret_cast<sockaddr*>(&storage), &length) != 0) return 0;
  return SocketAddress::FromSockaddr(storage).port;
}

Status FillListeners(int sockmap, const std::array<int, MESH_LISTENERS>& listeners) {
  for (uint32_t slot = 0; slot < MESH_LISTENERS; ++slot) {
    const auto value = static_cast<uint64_t>(listeners[slot]);
    // An empty slot is left empty: a listener that was there went with the process that had it.
    if (listeners[slot] >= 0 && bpf_map_update_elem(sockmap, &slot, &value, BPF_ANY) != 0) {
      return Status::Error("put listener", errno, "slot " + std::to_string(slot));
    }
  }
  return Status::Ok();
}

Result<std::vector<std::string>> RepairListeners(int sockmap, const PodListeners& listeners) {
  std::vector<std::string> repaired;
  const auto slots = ListenerSlots(listeners);
  for (uint32_t slot = 0; slot < slots.size(); ++slot) {
    const int fd = slots[slot];
    if (fd < 0) continue;
    int listens = 0;
    socklen_t length = sizeof listens;
    getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &length);
    const bool ended = slot != MESH_LISTENER_DNS_UDP && listens == 0;
    if (ended && listen(fd, kBacklog) != 0) return Status::Error("listen", errno);
    uint64_t held = 0;
    if (!ended && bpf_map_lookup_elem(sockmap, &slot, &held) == 0 && held == CookieOf(fd)) continue;
    repaired.push_back("listener " + std::to_string(slot));
  }
  if (repaired.empty()) return repaired;
  if (Status filled = FillListeners(sockmap, slots); !filled.ok()) return filled;
  return repaired;
}

void CloseListeners(PodListeners* listeners) {
  for (int* fd : {&listeners->outbound, &listeners->inbound_plaintext, &listeners->inbound_hbone,
                  &listeners->dns_udp, &listeners->dns_tcp}) {
    if (*fd >= 0) close(*fd);
    *fd = -1;
  }
}

}  // namespace groundwire
