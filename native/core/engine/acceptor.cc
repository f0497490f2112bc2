// SPDX-License-Identifier: Apache-2.0
#include "engine/acceptor.h"

#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "connection/inbound_plaintext.h"
#include "connection/outbound.h"
#include "engine/worker.h"
#include "io/socket_options.h"

namespace groundwire {
namespace {

// A burst larger than this lets the other worker's epoll have the rest.
constexpr int kAcceptsPerEvent = 16;
constexpr uint64_t kPauseMinMs = 10;
constexpr uint64_t kPauseMaxMs = 1000;

bool IsExhaustion(int error) {
  return error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM;
}

}  // namespace

Acceptor::Acceptor(Worker* worker, std::shared_ptr<const Pod> pod, Kind kind, int listener)
    : worker_(worker),
      pod_(std::move(pod)),
      kind_(kind),
      listener_(listener),
      pause_ms_(kPauseMinMs) {}

void Acceptor::Start() {
  watching_ = worker_->context().thread.loop->WatchListener(listener_, this).ok();
  if (watching_) return;
  worker_->context().thread.counters->Add(Counter::kAcceptWatchFailed);
  Pause();
}

void Acceptor::Stop() {
  worker_->context().thread.loop->Cancel(&resume_);
  if (std::exchange(watching_, false)) worker_->context().thread.loop->Unwatch(listener_);
}

void Acceptor::OnEvents(uint32_t) {
  for (int i = 0; i < kAcceptsPerEvent && watching_; ++i) {
    sockaddr_storage storage{};
    socklen_t length = sizeof storage;
    UniqueFd fd(accept4(listener_, reinterpret_cast<sockaddr*>(&storage), &length,
                        SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (!fd.valid()) {
      if (errno == EAGAIN) return;
      if (IsExhaustion(errno)) {
        worker_->context().thread.counters->Add(Counter::kAcceptOutOfFiles);
        return Pause();
      }
      // The connection failed before it was accepted (ECONNABORTED and the network errors of
      // accept(2)): next one.
      worker_->context().thread.counters->Add(Counter::kAcceptFailed);
      continue;
    }
    pause_ms_ = kPauseMinMs;
    Hand(std::move(fd), SocketAddress::FromSockaddr(storage));
  }
}

/// Delivered once more it would come back once more, until nothing is left to connect with.
ErrorCode Acceptor::RefusalOfReturned(const UniqueFd& fd) const {
  if (!worker_->context().sockets->IsDelivery(fd.get())) return ErrorCode::kNone;
  worker_->context().thread.counters->Add(Counter::kDeliveryReturned);
  return ErrorCode::kDeliveryReturned;
}

void Acceptor::Hand(UniqueFd fd, const SocketAddress& source) {
  const bool inbound = kind_ == Kind::kInboundPlaintext || kind_ == Kind::kInboundHbone;
  const ErrorCode refusal = inbound ? RefusalOfReturned(fd) : ErrorCode::kNone;
  switch (kind_) {
    case Kind::kOutbound:
      worker_->context().thread.counters->Add(Counter::kOutboundAccepted);
      return AcceptOutbound(worker_->context(), pod_, std::move(fd), source);
    case Kind::kInboundPlaintext:
      worker_->context().thread.counters->Add(Counter::kInboundPlaintextAccepted);
      return AcceptInboundPlaintext(worker_->context(), pod_, std::move(fd), source, refusal);
    case Kind::kInboundHbone:
      worker_->context().thread.counters->Add(Counter::kInboundHboneAccepted);
      return worker_->accepted_tunnels().Accept(pod_, std::move(fd), source, refusal);
    case Kind::kDnsTcp:
      return worker_->dns().AcceptTcp(pod_, std::move(fd), source);
  }
}

/// The backlog keeps what arrives meanwhile, or other workers take it. Without the pause a
/// level-triggered listener would spin.
void Acceptor::Pause() {
  worker_->context().thread.counters->Add(Counter::kAcceptPaused);
  Stop();
  resume_ = worker_->context().thread.loop->After(pause_ms_, [this] { Start(); });
  pause_ms_ = std::min(pause_ms_ * 2, kPauseMaxMs);
}

}  // namespace groundwire
