// SPDX-License-Identifier: Apache-2.0
#include "dns_forward.h"

#include <sys/epoll.h>
#include <sys/socket.h>

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

DnsForward::DnsForward(EventLoop* loop, msg::DnsTransport transport, std::vector<uint8_t> query,
                       std::vector<IpAddress> resolvers, Done done)
    : loop_(loop),
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
  const bool udp = transport_ == msg::DnsTransport::kUdp;
  fd_.Reset(socket(server.family(), (udp ? SOCK_DGRAM : SOCK_STREAM) | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd_.valid() || StartConnect(fd_.get(), server) != 0) return false;
  if (udp) {
    if (send(fd_.get(), query_.data(), query_.size(), MSG_NOSIGNAL) < 0) return false;
    sent_ = true;
  }
  return loop_->Watch(fd_.get(), this).ok();
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
