// SPDX-License-Identifier: Apache-2.0
#include "dns_forward.h"

#include <sys/epoll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <utility>

#include "mesh_abi.h"
#include "socket_options.h"

namespace groundwire {
namespace {

// With two resolvers the client's usual patience of 5 s is used up evenly.
constexpr uint64_t kResolverTimeoutMs = 2500;
constexpr size_t kUdpMessageMax = 65535;

}  // namespace

DnsForward::DnsForward(EventLoop* loop, PodSockets* sockets, std::shared_ptr<const Pod> pod,
                       msg::DnsTransport transport, std::vector<uint8_t> query, std::vector<IpAddress> resolvers,
                       Done done)
    : loop_(loop),
      sockets_(sockets),
      pod_(std::move(pod)),
      transport_(transport),
      query_(std::move(query)),
      resolvers_(std::move(resolvers)),
      done_(std::move(done)) {}

void DnsForward::Stop() {
  over_ = true;
  loop_->Cancel(&deadline_);
  fd_.Reset();
}

void DnsForward::TryNext() {
  while (next_ < resolvers_.size()) {
    loop_->Cancel(&deadline_);
    fd_.Reset();
    frames_ = {};
    sent_ = false;
    if (!Open(resolvers_[next_++])) continue;
    deadline_ = loop_->After(kResolverTimeoutMs, [this] { TryNext(); });
    return;
  }
  Stop();
  done_({});
}

bool DnsForward::Open(const IpAddress& resolver) {
  const SocketAddress server{resolver, MESH_PORT_DNS};
  return transport_ == msg::DnsTransport::kUdp ? OpenUdp(server) : OpenTcp(server);
}

bool DnsForward::OpenUdp(const SocketAddress& resolver) {
  const auto own = std::find_if(pod_->addresses.begin(), pod_->addresses.end(),
                                [&](const IpAddress& address) { return address.is_v4() == resolver.ip.is_v4(); });
  if (own == pod_->addresses.end()) return false;
  const auto socket = sockets_->OpenDnsReplySocket(pod_->netns_fd, {*own, 0});
  if (!socket.ok()) return false;
  fd_.Reset(socket.value());
#ifdef MESH_MARK_UPSTREAM
  // Without it the rule that captures DNS would bring our own query back to us.
  const uint32_t mark = MESH_MARK_UPSTREAM;
  (void)setsockopt(fd_.get(), SOL_SOCKET, SO_MARK, &mark, sizeof mark);
#endif
  if (StartConnect(fd_.get(), resolver) != 0) return false;
  if (send(fd_.get(), query_.data(), query_.size(), MSG_NOSIGNAL) < 0) return false;
  sent_ = true;
  return loop_->Watch(fd_.get(), this).ok();
}

bool DnsForward::OpenTcp(const SocketAddress& resolver) {
  const auto socket = sockets_->OpenPodSocket(pod_->netns_fd, resolver.family());
  if (!socket.ok()) return false;
  fd_.Reset(socket.value());
  return StartConnect(fd_.get(), resolver) == 0 && loop_->Watch(fd_.get(), this).ok();
}

void DnsForward::OnEvents(uint32_t events) {
  if (over_ || !fd_.valid()) return;
  if ((events & EPOLLERR) != 0 && TakeSocketError(fd_.get()) != 0) return TryNext();
  if (!sent_ && (events & EPOLLOUT) != 0) SendTcp();
  if (!over_ && (events & (EPOLLIN | EPOLLHUP)) != 0) Receive();
}

void DnsForward::SendTcp() {
  // At most 64 KiB into an empty socket buffer; a resolver that cannot take that at once is given up.
  const std::vector<uint8_t> frame = WithLength(query_);
  sent_ = true;
  const ssize_t count = send(fd_.get(), frame.data(), frame.size(), MSG_NOSIGNAL);
  if (count != static_cast<ssize_t>(frame.size())) TryNext();
}

void DnsForward::Receive() {
  std::vector<uint8_t> buffer(kUdpMessageMax);
  for (;;) {
    const ssize_t count = recv(fd_.get(), buffer.data(), buffer.size(), 0);
    if (count < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (count <= 0) return TryNext();
    const std::span<const uint8_t> bytes(buffer.data(), static_cast<size_t>(count));
    std::optional<std::vector<uint8_t>> answer;
    if (transport_ == msg::DnsTransport::kUdp) {
      answer.emplace(bytes.begin(), bytes.end());
    } else {
      frames_.Append(bytes);
      answer = frames_.Next();
    }
    // The socket is connected, so this is the resolver's; another id is an answer that came too late.
    if (!answer || !IsAnswerTo(query_, *answer)) continue;
    Stop();
    return done_(std::move(*answer));
  }
}

}  // namespace groundwire
