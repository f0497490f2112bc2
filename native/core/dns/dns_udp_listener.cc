// SPDX-License-Identifier: Apache-2.0
#include "dns/dns_udp_listener.h"

#include <netinet/in.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <cstdint>
#include <cstring>

#include "mesh_abi.h"

namespace groundwire {
namespace {

constexpr int kDatagramsPerEvent = 64;

/// The address that was asked (IP_PKTINFO, IPV6_RECVPKTINFO of the listener).
bool FindAskedAddress(msghdr* message, SocketAddress* asked) {
  for (cmsghdr* header = CMSG_FIRSTHDR(message); header != nullptr;
       header = CMSG_NXTHDR(message, header)) {
    sockaddr_storage storage{};
    if (header->cmsg_level == SOL_IPV6 && header->cmsg_type == IPV6_PKTINFO) {
      in6_pktinfo info{};
      std::memcpy(&info, CMSG_DATA(header), sizeof info);
      auto* in6 = reinterpret_cast<sockaddr_in6*>(&storage);
      in6->sin6_family = AF_INET6;
      in6->sin6_addr = info.ipi6_addr;
    } else if (header->cmsg_level == SOL_IP && header->cmsg_type == IP_PKTINFO) {
      in_pktinfo info{};
      std::memcpy(&info, CMSG_DATA(header), sizeof info);
      auto* in = reinterpret_cast<sockaddr_in*>(&storage);
      in->sin_family = AF_INET;
      in->sin_addr = info.ipi_addr;
    } else {
      continue;
    }
    *asked = SocketAddress::FromSockaddr(storage);
    asked->port = MESH_PORT_DNS;
    return true;
  }
  return false;
}

}  // namespace

bool DnsRelay::UdpListener::Start() {
  watching_ = relay_->thread_.loop->WatchListener(pod_->dns_udp.get(), this).ok();
  return watching_;
}

void DnsRelay::UdpListener::Stop() {
  if (std::exchange(watching_, false)) relay_->thread_.loop->Unwatch(pod_->dns_udp.get());
}

void DnsRelay::UdpListener::OnEvents(uint32_t) {
  for (int i = 0; i < kDatagramsPerEvent && watching_; ++i) {
    if (!ReceiveOne()) return;
  }
}

bool DnsRelay::UdpListener::ReceiveOne() {
  // One more than what is carried shows that there is more.
  std::array<uint8_t, kDnsQueryBytesMax + 1> bytes{};
  alignas(cmsghdr) std::array<char, 256> control{};
  sockaddr_storage source{};
  iovec part{bytes.data(), bytes.size()};
  msghdr message{};
  message.msg_name = &source;
  message.msg_namelen = sizeof source;
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  const ssize_t size = recvmsg(pod_->dns_udp.get(), &message, 0);
  if (size < 0) return errno == EINTR;
  Query query;
  if ((message.msg_flags & MSG_CTRUNC) != 0 || !FindAskedAddress(&message, &query.server)) {
    relay_->thread_.counters->Add(Counter::kDnsMalformed);
    return true;
  }
  query.pod = pod_;
  query.transport = msg::DnsTransport::kUdp;
  query.source = SocketAddress::FromSockaddr(source);
  query.message.assign(bytes.begin(), bytes.begin() + size);
  relay_->Ask(std::move(query));
  return true;
}

}  // namespace groundwire
