// SPDX-License-Identifier: Apache-2.0
#include "capture_listeners.h"

#include <netinet/in.h>
#include <unistd.h>

#include <cerrno>

#include "netns.h"
#include "socket_transparent.h"

namespace groundwire {
namespace {

// One listener takes the connections to every port of the pod; the kernel caps it at net.core.somaxconn.
constexpr int kBacklog = 65535;

Status BindToLoopback(int fd, int family) {
  SocketAddress loopback;
  loopback.ip = *IpAddress::Parse(family == AF_INET ? "127.0.0.1" : "::1");
  sockaddr_storage storage = {};
  const socklen_t length = loopback.ToSockaddr(family, &storage);
  if (bind(fd, reinterpret_cast<const sockaddr*>(&storage), length) != 0) {
    return Status::Error("bind listener", errno, loopback.ip.ToString());
  }
  return Status::Ok();
}

Status Prepare(int fd, int family, int type) {
  const int on = 1;
  const int off = 0;
  if (Status set = SetTransparent(fd, family); !set.ok()) return set;
  if (family == AF_INET6 &&
      setsockopt(fd, SOL_IPV6, IPV6_V6ONLY, &off, sizeof off) != 0) {
    return Status::Error("setsockopt IPV6_V6ONLY", errno);
  }
  if (Status bound = BindToLoopback(fd, family); !bound.ok()) return bound;
  if (type == SOCK_STREAM) {
    return listen(fd, kBacklog) == 0 ? Status::Ok() : Status::Error("listen", errno);
  }
  const int told = family == AF_INET
                       ? setsockopt(fd, SOL_IP, IP_PKTINFO, &on, sizeof on)
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

void CloseListeners(PodListeners* listeners) {
  for (int* fd : {&listeners->outbound, &listeners->inbound_plaintext, &listeners->inbound_hbone,
                  &listeners->dns_udp, &listeners->dns_tcp}) {
    if (*fd >= 0) close(*fd);
    *fd = -1;
  }
}

}  // namespace groundwire
