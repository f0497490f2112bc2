// SPDX-License-Identifier: Apache-2.0
#include "kernel/sock_diag.h"

#include <linux/inet_diag.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <netinet/tcp.h>

#include <cerrno>
#include <cstring>

namespace groundwire {
namespace {

constexpr uint32_t kStatesWithPeer = (1u << TCP_ESTABLISHED) | (1u << TCP_SYN_SENT) |
                                     (1u << TCP_SYN_RECV) | (1u << TCP_FIN_WAIT1) |
                                     (1u << TCP_FIN_WAIT2) | (1u << TCP_CLOSE_WAIT);

SocketAddress ReadAddress(uint8_t family, const uint32_t* words, uint16_t port_be) {
  sockaddr_storage storage = {};
  if (family == AF_INET) {
    auto* in = reinterpret_cast<sockaddr_in*>(&storage);
    in->sin_port = port_be;
    std::memcpy(&in->sin_addr, words, sizeof in->sin_addr);
  } else {
    auto* in6 = reinterpret_cast<sockaddr_in6*>(&storage);
    in6->sin6_port = port_be;
    std::memcpy(&in6->sin6_addr, words, sizeof in6->sin6_addr);
  }
  storage.ss_family = family;
  return SocketAddress::FromSockaddr(storage);
}

void WriteAddress(const SocketAddress& address, uint32_t* words, uint16_t* port_be) {
  const bool v4 = address.ip.is_v4();
  std::memcpy(words, address.ip.bytes.data() + (v4 ? 12 : 0), v4 ? 4 : 16);
  *port_be = htons(address.port);
}

DiagSocket ReadSocket(const nlmsghdr& header) {
  const auto* message = static_cast<const inet_diag_msg*>(NLMSG_DATA(&header));
  DiagSocket socket;
  socket.pair.local =
      ReadAddress(message->idiag_family, message->id.idiag_src, message->id.idiag_sport);
  socket.pair.remote =
      ReadAddress(message->idiag_family, message->id.idiag_dst, message->id.idiag_dport);
  std::memcpy(socket.cookie.data(), message->id.idiag_cookie, sizeof socket.cookie);
  const auto* attribute = reinterpret_cast<const rtattr*>(message + 1);
  auto left = static_cast<int>(header.nlmsg_len - NLMSG_LENGTH(sizeof *message));
  for (; RTA_OK(attribute, left); attribute = RTA_NEXT(attribute, left)) {
    if (attribute->rta_type == INET_DIAG_MARK) {
      std::memcpy(&socket.mark, RTA_DATA(attribute), sizeof socket.mark);
    } else if (attribute->rta_type == INET_DIAG_CGROUP_ID) {
      std::memcpy(&socket.cgroup_id, RTA_DATA(attribute), sizeof socket.cgroup_id);
    }
  }
  return socket;
}

}  // namespace

Result<std::vector<DiagSocket>> ListTcpConnections(NetlinkSocket& netlink) {
  std::vector<DiagSocket> sockets;
  for (const int family : {AF_INET, AF_INET6}) {
    NetlinkRequest request(SOCK_DIAG_BY_FAMILY, NLM_F_DUMP);
    inet_diag_req_v2 body = {};
    body.sdiag_family = static_cast<uint8_t>(family);
    body.sdiag_protocol = IPPROTO_TCP;
    body.idiag_states = kStatesWithPeer;
    request.AppendBody(&body, sizeof body);
    Status dumped = netlink.Dump(request, "sock_diag dump", [&](const nlmsghdr& header) {
      sockets.push_back(ReadSocket(header));
    });
    if (!dumped.ok()) return dumped;
  }
  return sockets;
}

Status DestroyTcpConnection(NetlinkSocket& netlink, const DiagSocket& socket) {
  NetlinkRequest request(SOCK_DESTROY, NLM_F_ACK);
  inet_diag_req_v2 body = {};
  body.sdiag_family = static_cast<uint8_t>(socket.pair.local.family());
  body.sdiag_protocol = IPPROTO_TCP;
  body.idiag_states = kStatesWithPeer;
  WriteAddress(socket.pair.local, body.id.idiag_src, &body.id.idiag_sport);
  WriteAddress(socket.pair.remote, body.id.idiag_dst, &body.id.idiag_dport);
  // Without the cookie a connection that has just ended would make the kernel look further and
  // destroy the listener.
  std::memcpy(body.id.idiag_cookie, socket.cookie.data(), sizeof body.id.idiag_cookie);
  request.AppendBody(&body, sizeof body);
  Status destroyed = netlink.Request(request, "sock_diag destroy");
  if (destroyed.errno_value == ENOENT || destroyed.errno_value == ESTALE) return Status::Ok();
  return destroyed;
}

}  // namespace groundwire
