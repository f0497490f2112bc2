// SPDX-License-Identifier: Apache-2.0
// The sockets that workers open in a pod's namespace, thousands a second: one switch for socket(),
// nothing else inside.
#include "capture/pod_sockets.h"

#include <netinet/in.h>
#include <sys/random.h>

#include <cerrno>
#include <cstdint>
#include <utility>

#include "io/socket_transparent.h"
#include "kernel/netns.h"
#include "mesh_abi.h"

#ifndef IP_BIND_ADDRESS_NO_PORT
#define IP_BIND_ADDRESS_NO_PORT 24
#endif

namespace groundwire {
namespace {

constexpr int kDnsSourcePortAttempts =
    16;  // with half of the ports in use, one query in 65,536 finds none

Status SetOption(int fd, int level, int option, int value, const char* op) {
  if (setsockopt(fd, level, option, &value, sizeof value) != 0) return Status::Error(op, errno);
  return Status::Ok();
}

Status BindTo(int fd, int family, const SocketAddress& address) {
  sockaddr_storage storage = {};
  const socklen_t length = address.ToSockaddr(family, &storage);
  if (bind(fd, reinterpret_cast<const sockaddr*>(&storage), length) != 0) {
    return Status::Error("bind", errno, address.ToString());
  }
  return Status::Ok();
}

Status MakeDelivery(int fd, int family, const SocketAddress& client) {
  if (Status set = SetTransparent(fd, family); !set.ok()) return set;
  if (Status set = SetOption(fd, SOL_SOCKET, SO_MARK, static_cast<int>(MESH_MARK_REPLY),
                             "setsockopt SO_MARK");
      !set.ok()) {
    return set;
  }
  // The port is chosen at connect, by 4-tuple: bound here, 28,000 deliveries from one client would
  // be the limit.
  if (Status set =
          SetOption(fd, SOL_IP, IP_BIND_ADDRESS_NO_PORT, 1, "setsockopt IP_BIND_ADDRESS_NO_PORT");
      !set.ok()) {
    return set;
  }
  return BindTo(fd, family, {client.ip, 0});
}

Status MakeDnsReply(int fd, int family, const SocketAddress& server) {
  if (Status set = SetTransparent(fd, family); !set.ok()) return set;
  // Several answers from one server may be under way at once.
  if (Status set = SetOption(fd, SOL_SOCKET, SO_REUSEADDR, 1, "setsockopt SO_REUSEADDR");
      !set.ok()) {
    return set;
  }
  return BindTo(fd, family, server);
}

/// One of the ports of MESH_RULE_OWN_DNS, by chance: what an answer must know besides the id of the
/// query.
Status BindToDnsSourcePort(int fd, int family) {
  constexpr uint64_t kPorts = MESH_DNS_SOURCE_PORT_LAST - MESH_DNS_SOURCE_PORT_FIRST + 1;
  Status bound = Status::Ok();
  for (int attempt = 0; attempt < kDnsSourcePortAttempts; ++attempt) {
    // Not RandomU64: what it gave before can be seen in trace ids, and what comes next follows from
    // it.
    uint64_t chance = 0;
    if (getrandom(&chance, sizeof chance, 0) != sizeof chance)
      return Status::Error("getrandom", errno);
    const IpAddress any = family == AF_INET ? *IpAddress::Parse("0.0.0.0") : IpAddress{};
    bound = BindTo(fd, family,
                   {any, static_cast<uint16_t>(MESH_DNS_SOURCE_PORT_FIRST + chance % kPorts)});
    if (bound.ok() || bound.errno_value != EADDRINUSE) break;
  }
  return bound;
}

Result<int> Released(Result<UniqueFd> fd) {
  if (!fd.ok()) return fd.status();
  return fd.value().Release();
}

class KernelPodSockets final : public PodSockets {
 public:
  Result<int> OpenPodSocket(int netns_fd, int family) override {
    return Released(SocketInNetns(netns_fd, family, SOCK_STREAM | SOCK_NONBLOCK));
  }
  Result<int> OpenDeliverySocket(int netns_fd, const SocketAddress& client,
                                 const SocketAddress& application) override {
    const int family = application.family();
    // Under its own address there is nothing to pretend, and the answers come back without a route of
    // ours.
    if (client.ip == application.ip) return OpenPodSocket(netns_fd, family);
    if (client.family() != family) {
      return Status::Error("check delivery", EAFNOSUPPORT,
                           client.ToString() + " cannot reach " + application.ToString());
    }
    auto fd = SocketInNetns(netns_fd, family, SOCK_STREAM | SOCK_NONBLOCK);
    if (!fd.ok()) return fd.status();
    if (Status made = MakeDelivery(fd.value().get(), family, client); !made.ok()) return made;
    return Released(std::move(fd));
  }
  Result<int> OpenDnsReplySocket(int netns_fd, const SocketAddress& server) override {
    const int family = server.family();
    auto fd = SocketInNetns(netns_fd, family, SOCK_DGRAM | SOCK_NONBLOCK);
    if (!fd.ok()) return fd.status();
    if (Status made = MakeDnsReply(fd.value().get(), family, server); !made.ok()) return made;
    return Released(std::move(fd));
  }
  Result<int> OpenDnsQuerySocket(int netns_fd, int family) override {
    auto fd = SocketInNetns(netns_fd, family, SOCK_DGRAM | SOCK_NONBLOCK);
    if (!fd.ok()) return fd.status();
    // Both families may have a query from the same port.
    if (family == AF_INET6) {
      if (Status set =
              SetOption(fd.value().get(), SOL_IPV6, IPV6_V6ONLY, 1, "setsockopt IPV6_V6ONLY");
          !set.ok()) {
        return set;
      }
    }
    if (Status bound = BindToDnsSourcePort(fd.value().get(), family); !bound.ok()) return bound;
    return Released(std::move(fd));
  }
  bool IsDelivery(int accepted) override {
    // Inherited from the SYN (tcp_fwmark_accept). Whoever forges it gets nothing but a refusal.
    uint32_t mark = 0;
    socklen_t length = sizeof mark;
    return getsockopt(accepted, SOL_SOCKET, SO_MARK, &mark, &length) == 0 &&
           mark == MESH_MARK_REPLY;
  }
};

}  // namespace

std::unique_ptr<PodSockets> MakePodSockets() { return std::make_unique<KernelPodSockets>(); }

}  // namespace groundwire
