// SPDX-License-Identifier: Apache-2.0
#include "capture_listeners.h"

#include <netinet/in.h>
#include <unistd.h>

#include <cerrno>

#include "netns.h"
#include "socket_transparent.h"

namespace groundwire {
namespace {

// One listener takes the connections to every port of the pod; the kernel caps it at
// net.core.somaxconn.
constexpr int kBacklog = 65535;

Status BindToWildcard(int fd, int family) {
  // Not to loopback: the kernel makes a socket bound to any IPv6 address but this one IPv6 only,
  // whatever it is told.
  sockaddr_storage storage = {};
  storage.ss_family = static_cast<sa_family_t>(family);
  const socklen_t length = family == AF_INET ? sizeof(sockaddr_in) : sizeof(sockaddr_in6);
  if (bind(fd, reinterpret_cast<const sockaddr*>(&storage), length) != 0) {
    return Status::Error("bind listener", errno);
  }
  return Status::Ok();
}

Status Prepare(int fd, int family, int type) {
  const int on = 1;
  const int off = 0;
  if (Status set = SetTransparent(fd, family); !set.ok()) return set;
  // Accepted sockets inherit it, and they have the port of the original destination in the pod's
  // own namespace: without it an application could not listen on a port that the pod has
  // connections to.
  if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0) {
    return Status::Error("setsockopt SO_REUSEADDR", errno);
  }
  if (family == AF_INET6 && setsockopt(fd, SOL_IPV6, IPV6_V6ONLY, &off, sizeof off) != 0) {
    return Status::Error("setsockopt IPV6_V6ONLY", errno);
  }
  if (Status bound = BindToWildcard(fd, family); !bound.ok()) return bound;
  if (type == SOCK_STREAM) {
    return listen(fd, kBacklog) == 0 ? Status::Ok() : Status::Error("listen", errno);
  }
  const int told = family == AF_INET ? setsockopt(fd, SOL_IP, IP_PKTINFO, &on, sizeof on)
                                     : setsockopt(fd, SOL_IPV6, IPV6_RECVPKTINFO, &on, sizeof on);
  return told == 0 ? Status::Ok() : Status::Error("setsockopt PKTINFO", errno);
}

Result<int> OpenListener(int netns_fd, int type) {
  int family = AF_INET6;
  auto fd = SocketInNetns(netns_fd, family, type | SOCK_NONBLOCK);
  if (!fd.ok() && fd.status().errno_value == EAFNOSUPPORT) {
    family = AF_INET;
    fd = SocketInNetns(netns_fd, family, type | SOCK_NONBLOCK);
  }
  if (!fd.ok()) return fd.status();
  if (Status prepared = Prepare(fd.value().get(), family, type); !prepared.ok()) return prepared;
  return fd.value().Release();
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

void CloseListeners(PodListeners* listeners) {
  for (int* fd : {&listeners->outbound, &listeners->inbound_plaintext, &listeners->inbound_hbone,
                  &listeners->dns_udp, &listeners->dns_tcp}) {
    if (*fd >= 0) close(*fd);
    *fd = -1;
  }
}

}  // namespace groundwire
