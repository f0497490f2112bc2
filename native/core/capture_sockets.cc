// SPDX-License-Identifier: Apache-2.0
// The sockets that workers open in a pod's namespace, thousands a second: one switch for socket(),
// nothing else inside.
#include <netinet/in.h>

#include <cerrno>

#include "capture.h"
#include "mesh_abi.h"
#include "netns.h"
#include "socket_transparent.h"

#ifndef IP_BIND_ADDRESS_NO_PORT
#define IP_BIND_ADDRESS_NO_PORT 24
#endif

namespace groundwire {
namespace {

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

Result<int> Released(Result<UniqueFd> fd) {
  if (!fd.ok()) return fd.status();
  return fd.value().Release();
}

}  // namespace

Result<int> OpenPodSocket(int netns_fd, int family) {
  return Released(SocketInNetns(netns_fd, family, SOCK_STREAM | SOCK_NONBLOCK));
}

Result<int> OpenDeliverySocket(int netns_fd, const SocketAddress& client,
                               const SocketAddress& application) {
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

Result<int> OpenDnsReplySocket(int netns_fd, const SocketAddress& server) {
  const int family = server.family();
  auto fd = SocketInNetns(netns_fd, family, SOCK_DGRAM | SOCK_NONBLOCK);
  if (!fd.ok()) return fd.status();
  if (Status made = MakeDnsReply(fd.value().get(), family, server); !made.ok()) return made;
  return Released(std::move(fd));
}

}  // namespace groundwire
