// SPDX-License-Identifier: Apache-2.0
#include "dns/dns_forward.h"

#include <sys/epoll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "io/socket_options.h"
#include "mesh_abi.h"

namespace groundwire {
namespace {

// All resolvers together, evenly: less than the 5 s after which a client asks again.
constexpr uint64_t kPatienceMs = 4500;
constexpr uint64_t kPatiencePerResolverMinMs = 500;
constexpr int kMismatchedMax = 16;

Result<int> OpenOnNode(int family, int type) {
  const int fd = socket(family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return Status::Error("socket", errno);
  return fd;
}

}  // namespace

DnsForward::DnsForward(const ThreadContext& thread, PodSockets* sockets,
                       std::shared_ptr<const Pod> pod, msg::DnsTransport transport,
                       std::vector<uint8_t> query, Done done)
    : thread_(thread),
      sockets_(sockets),
      pod_(std::move(pod)),
      transport_(transport),
      query_(std::move(query)),
      done_(std::move(done)) {}

void DnsForward::Stop() {
  over_ = true;
  thread_.loop->Cancel(&deadline_);
  fd_.Reset();
}

void DnsForward::TryNext() {
  const std::vector<msg::UpstreamResolver>& resolvers = thread_.options->upstream_resolvers;
  while (next_ < resolvers.size()) {
    thread_.loop->Cancel(&deadline_);
    fd_.Reset();
    frames_ = {};
    sent_ = false;
    mismatched_ = 0;
    if (!Open(resolvers[next_++])) continue;
    deadline_ = thread_.loop->After(
        std::max(kPatienceMs / resolvers.size(), kPatiencePerResolverMinMs), [this] { TryNext(); });
    return;
  }
  Stop();
  done_(refusal_);
}

bool DnsForward::Open(const msg::UpstreamResolver& resolver) {
  const SocketAddress server{resolver.address, MESH_PORT_DNS};
  const int family = server.family();
  const bool udp = transport_ == msg::DnsTransport::kUdp;
  PodSockets& sockets = *sockets_;
  const Result<int> opened = resolver.from_node ? OpenOnNode(family, udp ? SOCK_DGRAM : SOCK_STREAM)
                             : udp              ? sockets.OpenDnsQuerySocket(pod_->netns_fd, family)
                                                : sockets.OpenPodSocket(pod_->netns_fd, family);
  if (!opened.ok()) return false;
  fd_.Reset(opened.value());
  if (StartConnect(fd_.get(), server) != 0) return false;
  if (udp) {
    if (send(fd_.get(), query_.data(), query_.size(), MSG_NOSIGNAL) < 0) return false;
    sent_ = true;
  }
  return thread_.loop->Watch(fd_.get(), this).ok();
}

void DnsForward::OnEvents(uint32_t events) {
  if (over_ || !fd_.valid()) return;
  if ((events & EPOLLERR) != 0 && TakeSocketError(fd_.get()) != 0) return TryNext();
  if (!sent_ && (events & EPOLLOUT) != 0) SendTcp();
  if (!over_ && (events & (EPOLLIN | EPOLLHUP)) != 0) Receive();
}

void DnsForward::SendTcp() {
  // Some 4 KiB at most into an empty socket buffer; a resolver that cannot take that at once is
  // given up.
  const std::vector<uint8_t> frame = WithLength(query_);
  sent_ = true;
  const ssize_t count = send(fd_.get(), frame.data(), frame.size(), MSG_NOSIGNAL);
  if (count != static_cast<ssize_t>(frame.size())) TryNext();
}

void DnsForward::Receive() {
  uint8_t* const buffer = thread_.scratch->arriving.get();
  // Ends: what is no answer is counted and bounded, and a frame is no longer than its length can
  // say.
  for (;;) {
    const ssize_t count = recv(fd_.get(), buffer, ThreadScratch::kBytes, 0);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0 && errno == EAGAIN) return;
    if (count < 0 || (count == 0 && transport_ == msg::DnsTransport::kTcp)) return TryNext();
    const std::span<const uint8_t> bytes(buffer, static_cast<size_t>(count));
    if (transport_ == msg::DnsTransport::kUdp) {
      if (Take(bytes)) return;
      continue;
    }
    frames_.Append(bytes);
    while (const auto message = frames_.Next()) {
      if (Take(*message)) return;
    }
  }
}

bool DnsForward::Take(std::span<const uint8_t> message) {
  if (!IsAnswerTo(query_, message)) {
    thread_.counters->Add(Counter::kDnsForwardMismatched);
    if (++mismatched_ < kMismatchedMax) return false;
    TryNext();
    return true;
  }
  std::vector<uint8_t> answer(message.begin(), message.end());
  if (IsRefusal(answer)) {
    if (refusal_.empty()) refusal_ = std::move(answer);
    TryNext();
    return true;
  }
  Stop();
  done_(answer);
  return true;
}

}  // namespace groundwire
