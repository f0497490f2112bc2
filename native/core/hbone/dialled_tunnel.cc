// SPDX-License-Identifier: Apache-2.0
#include "hbone/dialled_tunnel.h"

#include <algorithm>
#include <utility>

#include "base/clock.h"

namespace groundwire {

TunnelPool::Tunnel::Tunnel(TunnelPool* pool, std::shared_ptr<const Pod> pod, const TunnelKey& key)
    : pool_(pool),
      pod_(std::move(pod)),
      key_(key),
      lease_(
          pool->context_.thread.loop, pool->context_.proofs, [this] { pool_->OnStale(this); },
          [this] { OnLeaseEnd(); }) {}

Status TunnelPool::Tunnel::Start(UniqueFd fd, std::shared_ptr<const TlsIdentity> identity) {
  generation_ = identity->generation;
  auto stream =
      DialSecuredStream(std::move(fd), std::move(identity), key_.upstream_identities,
                        pool_->context_.secured, pool_->thread().loop, pool_->thread().scratch);
  secured_ = stream.get();
  secured_->LingerAt(pool_->thread().lingering, pod_->id);
  session_ = std::make_unique<Http2Session>(
      Http2Session::Role::kClient, std::move(stream), *pool_->context_.http2, pool_->thread().loop,
      pool_->thread().scratch, pool_->thread().counters, this);
  session_->LimitWindows(pool_->thread().kept->AccountOf(pod_->id));
  return session_->Start();
}

void TunnelPool::Tunnel::OnEstablished(Http2Session*) {
  established_ms_ = WallMs();
  pool_->thread().counters->Add(Counter::kTlsHandshakes);
  lease_.Start({key_.pod, secured_->peer_identity(), key_.next_hop}, secured_->own_not_after_ms(),
               secured_->peer_not_after_ms(), generation_);
  OnCapacity(session_.get());
  if (waiting_.empty() && session_->streams() == 0) StartIdle();
}

void TunnelPool::Tunnel::OnCapacity(Http2Session*) {
  while (!waiting_.empty() && session_->state() == Http2Session::State::kOpen && HasRoom()) {
    TunnelUser* const user = waiting_.front().user;
    waiting_.pop_front();
    const bool reused = session_->streams_total() > 0;
    user->OnTunnel(session_.get(), secured_->peer_identity(), reused);
  }
  if (session_->state() != Http2Session::State::kOpen) return;
  // A peer that takes no streams now (SETTINGS_MAX_CONCURRENT_STREAMS 0) may again; there need not
  // be another tunnel that is better.
  if (session_->draining() || (!HasRoom() && session_->streams_max() > 0)) HandOver();
  BoundWait();
  if (session_->streams() > 0 || !waiting_.empty()) return pool_->thread().loop->Cancel(&idle_);
  if (!IsFresh(pool_->GenerationOf(*pod_))) return session_->Drain();
  StartIdle();
}

void TunnelPool::Tunnel::OnSessionClosed(Http2Session*, ErrorCode code, const std::string& detail) {
  pool_->thread().loop->Cancel(&idle_);
  pool_->thread().loop->Cancel(&wait_bound_);
  lease_.Stop();
  const bool failed = established_ms_ == 0;
  if (failed) {
    pool_->thread().counters->Add(Counter::kTunnelsDialFailed);
    if (IsHandshakeFailure(code)) pool_->thread().counters->Add(Counter::kTlsHandshakesFailed);
  }
  const std::deque<Waiting> all = std::move(waiting_);
  waiting_.clear();
  // The pool deletes this tunnel two turns from now.
  pool_->Remove(this);
  for (const Waiting& waiting : all) {
    if (failed || IsEndedHere(code)) {
      waiting.user->OnNoTunnel(code, detail);
    } else {
      pool_->Acquire(pod_, key_, waiting.user, waiting.since_us);
    }
  }
}

void TunnelPool::Tunnel::Wait(TunnelUser* user, uint64_t since_us) {
  const auto place = std::ranges::upper_bound(waiting_, since_us, {}, &Waiting::since_us);
  // The bound is that of the first.
  if (place == waiting_.begin()) pool_->thread().loop->Cancel(&wait_bound_);
  waiting_.insert(place, {user, since_us});
}

msg::Tunnel TunnelPool::Tunnel::Describe() const {
  msg::Tunnel tunnel;
  tunnel.direction = msg::Direction::kOutbound;
  tunnel.pod = key_.pod;
  tunnel.local = secured_->own_identity();
  tunnel.peer = secured_->peer_identity();
  tunnel.remote = key_.next_hop;
  tunnel.streams = static_cast<uint32_t>(session_->streams());
  tunnel.streams_total = session_->streams_total();
  tunnel.established_ms = established_ms_;
  tunnel.not_after_ms = lease_.until_ms();
  tunnel.draining = session_->draining() || !IsFresh(pool_->GenerationOf(*pod_));
  return tunnel;
}

void TunnelPool::Tunnel::StartIdle() {
  pool_->thread().loop->Cancel(&idle_);
  idle_ = pool_->thread().loop->After(pool_->thread().options->tunnel_idle_ms, [this] {
    pool_->thread().counters->Add(Counter::kTunnelsIdleClosed);
    session_->Close(ErrorCode::kNone, "idle");
  });
}

void TunnelPool::Tunnel::BoundWait() {
  if (!established() || waiting_.empty()) return pool_->thread().loop->Cancel(&wait_bound_);
  if (wait_bound_ != EventLoop::TimerId{}) return;
  const uint64_t end_us = EndOfWaitUs(waiting_.front());
  const uint64_t now_us = pool_->thread().loop->now_us();
  const uint64_t rest_ms = end_us > now_us ? (end_us - now_us + 999) / 1000 : 0;
  wait_bound_ = pool_->thread().loop->After(rest_ms, [this] { FailOverdue(); });
}

void TunnelPool::Tunnel::FailOverdue() {
  wait_bound_ = {};
  while (!waiting_.empty() && EndOfWaitUs(waiting_.front()) <= pool_->thread().loop->now_us()) {
    TunnelUser* const user = waiting_.front().user;
    waiting_.pop_front();
    pool_->thread().counters->Add(Counter::kTunnelStreamsHeldBack);
    user->OnNoTunnel(ErrorCode::kHboneResponseTimeout, kNoStreamsDetail);
  }
  OnCapacity(session_.get());
}

uint64_t TunnelPool::Tunnel::EndOfWaitUs(const Waiting& waiting) const {
  return waiting.since_us + uint64_t{1000} * pool_->thread().options->connect_timeout_ms;
}

void TunnelPool::Tunnel::OnLeaseEnd() {
  pool_->thread().counters->Add(Counter::kTunnelsExpired);
  session_->Close(ErrorCode::kCertificateExpired, "no newer proof of the peer's identity");
}

void TunnelPool::Tunnel::HandOver() {
  const std::deque<Waiting> all = std::move(waiting_);
  waiting_.clear();
  for (const Waiting& waiting : all) pool_->Acquire(pod_, key_, waiting.user, waiting.since_us);
}

}  // namespace groundwire
