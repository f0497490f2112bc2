// SPDX-License-Identifier: Apache-2.0
#include "hbone/inbound_tunnel.h"

#include <algorithm>
#include <utility>

#include "base/clock.h"
#include "base/detail_text.h"
#include "connection/inbound_hbone.h"
#include "engine/worker.h"
#include "io/socket_options.h"
#include "tls/tls_stream.h"

namespace groundwire {
namespace {

// For each worker. Before TLS anybody may connect, so what has proven nothing yet gets little room,
// pod by pod.
constexpr size_t kHandshakingPerPodMax = 256;
// Of the time a handshake may take: 1 s as it is set by default. A peer that means it needs
// milliseconds.
constexpr uint32_t kLateFraction = 10;

/// As many as are left for others and no more, as with a pod's part of the connections
/// (Worker::Admit): a peer that takes all it can get leaves half, and two such peers a third.
bool HasShare(size_t of_peer, size_t taken, size_t max) {
  return of_peer == 0 || of_peer + taken < max;
}

}  // namespace

InboundTunnel::InboundTunnel(Worker* worker, InboundTunnels* tunnels,
                             std::shared_ptr<const Pod> pod, const SocketAddress& source)
    : worker_(worker),
      tunnels_(tunnels),
      pod_(std::move(pod)),
      source_(source),
      started_us_(worker->loop()->now_us()),
      // The dialling side stops opening streams on a stale tunnel; here only the end of the proof
      // matters.
      lease_(
          worker->loop(), &worker->shared()->proofs, [] {},
          [this] {
            worker_->counters().Add(Counter::kTunnelsExpired);
            session_->Close(ErrorCode::kCertificateExpired,
                            "no newer proof of the peer's identity");
          }) {}

InboundTunnel::~InboundTunnel() { worker_->loop()->Cancel(&idle_); }

Status InboundTunnel::Start(UniqueFd fd, std::shared_ptr<const TlsIdentity> identity) {
  PeerCheck check;
  check.trust_domain = worker_->options().trust_domain;
  local_ = LocalAddress(fd.get());
  const int socket = fd.get();
  auto stream = std::make_unique<TlsStream>(socket, TlsStream::Role::kServer, std::move(identity),
                                            std::move(check), worker_->scratch());
  tls_ = stream.get();
  session_ = std::make_unique<HboneSession>(
      HboneSession::Role::kServer, std::move(fd), std::move(stream), worker_->shared()->hbone,
      worker_->loop(), worker_->scratch(), &worker_->counters(), this);
  return session_->Start();
}

void InboundTunnel::OnEstablished(HboneSession*) {
  established_ms_ = WallMs();
  tunnels_->EndHandshake(this);
  worker_->counters().Add(Counter::kTlsHandshakes);
  worker_->counters().Add(Counter::kTunnelsAccepted);
  lease_.Start({pod_->id, tls_->peer(), {source_.ip, 0}}, tls_->identity().not_after_ms,
               tls_->peer_not_after_ms(), tls_->identity().generation);
  OnCapacity(session_.get());
}

void InboundTunnel::OnCapacity(HboneSession*) {
  worker_->loop()->Cancel(&idle_);
  if (session_->streams() > 0 || session_->draining() ||
      session_->state() != HboneSession::State::kOpen)
    return;
  // The dialling side goes first; this ends the tunnels of a peer that never would.
  idle_ = worker_->loop()->After(uint64_t{2} * worker_->options().tunnel_idle_ms, [this] {
    if (session_->streams() > 0 || session_->draining()) return;
    worker_->counters().Add(Counter::kTunnelsIdleClosed);
    session_->Drain();
  });
}

void InboundTunnel::OnRequest(HboneSession*, HboneStream* stream, HboneRequest request) {
  // Before it is on the books, or it would take the last place from itself.
  const ErrorCode refusal = worker_->Admit(*pod_);
  worker_->Adopt(std::make_unique<InboundHboneConnection>(worker_, *this, stream))
      ->Start(request, refusal);
}

void InboundTunnel::OnMalformedRequest(HboneSession*, const HboneRequest& request,
                                       const char* detail) {
  tunnels_->RecordRefusal(*this, ErrorCode::kHboneBadRequest, detail, &request);
}

void InboundTunnel::OnSessionClosed(HboneSession*, ErrorCode code, const std::string& detail) {
  lease_.Stop();
  worker_->loop()->Cancel(&idle_);
  if (established_ms_ == 0) tunnels_->EndHandshake(this);
  if (established_ms_ == 0 && code != ErrorCode::kDrained) {
    if (IsHandshakeFailure(code)) worker_->counters().Add(Counter::kTlsHandshakesFailed);
    tunnels_->RecordRefusal(*this, code, detail);
  }
  // The peer proved who it is and then did not speak HBONE; streams it had have said so themselves.
  if (established_ms_ != 0 && code == ErrorCode::kHboneProtocol && session_->streams_lost() == 0)
    tunnels_->RecordRefusal(*this, code, detail);
  tunnels_->Remove(this);
}

const std::string& InboundTunnel::peer() const { return tls_->peer(); }

msg::Tunnel InboundTunnel::Describe() const {
  msg::Tunnel tunnel;
  tunnel.direction = msg::Direction::kInbound;
  tunnel.pod = pod_->id;
  tunnel.local = tls_->identity().name;
  tunnel.peer = tls_->peer();
  tunnel.remote = source_;
  tunnel.streams = static_cast<uint32_t>(session_->streams());
  tunnel.streams_total = session_->streams_total();
  tunnel.established_ms = established_ms_;
  tunnel.not_after_ms = lease_.until_ms();
  tunnel.draining = session_->draining();
  return tunnel;
}

void InboundTunnels::Accept(const std::shared_ptr<const Pod>& pod, UniqueFd fd,
                            const SocketAddress& source, ErrorCode refusal) {
  auto identity = worker_->shared()->identities.Find(pod->identity);
  auto tunnel = std::make_unique<InboundTunnel>(worker_, this, pod, source);
  if (refusal != ErrorCode::kNone) {
    RecordRefusal(*tunnel, refusal, "");
    return CloseWithReset(&fd);
  }
  if (!identity) {
    RecordRefusal(*tunnel, ErrorCode::kIdentityUnavailable,
                  "no certificate of the pod's identity is valid");
    return CloseWithReset(&fd);
  }
  if (const std::optional<Counter> full = MakeRoom(pod->id, source.ip)) {
    worker_->counters().Add(*full);
    RecordRefusal(*tunnel, ErrorCode::kLimitConnections,
                  *full == Counter::kLimitPeerTunnels ? "too many tunnels from this address"
                                                      : "too many tunnels");
    return CloseWithReset(&fd);
  }
  if (const Status started = tunnel->Start(std::move(fd), std::move(identity)); started.ok()) {
    handshaking_[pod->id].push_back(tunnel.get());
    ++of_peer_[source.ip];
    tunnels_.push_back(std::move(tunnel));
  } else {
    RecordRefusal(*tunnel, ErrorCode::kOutOfFiles, started.ToString());
  }
}

std::optional<Counter> InboundTunnels::MakeRoom(uint32_t pod, const IpAddress& peer) {
  const size_t tunnels_max = worker_->options().tunnels_accepted_max;
  const auto of_peer = of_peer_.find(peer);
  if (of_peer != of_peer_.end() && !HasShare(of_peer->second, tunnels_.size(), tunnels_max)) {
    return tunnels_.size() < tunnels_max ? Counter::kLimitPeerTunnels : Counter::kLimitTunnels;
  }
  const auto found = handshaking_.find(pod);
  if (found == handshaking_.end())
    return tunnels_.size() < tunnels_max ? std::nullopt : std::optional(Counter::kLimitTunnels);
  const std::deque<InboundTunnel*>& unfinished = found->second;
  const auto is_peers = [&](const InboundTunnel* one) { return one->source().ip == peer; };
  const auto peers = static_cast<size_t>(std::ranges::count_if(unfinished, is_peers));
  if (!HasShare(peers, unfinished.size(), kHandshakingPerPodMax)) {
    // Its own late one first; but others' late ones are no reason to refuse an honest peer either.
    if (DisplaceIfLate(*std::ranges::find_if(unfinished, is_peers))) return std::nullopt;
    if (DisplaceIfLate(unfinished.front())) return std::nullopt;
    return Counter::kLimitPeerTunnels;
  }
  if (tunnels_.size() < tunnels_max && unfinished.size() < kHandshakingPerPodMax)
    return std::nullopt;
  return DisplaceIfLate(unfinished.front()) ? std::nullopt : std::optional(Counter::kLimitTunnels);
}

/// A newcomer takes the place of a handshake that is late: refusing newcomers instead would let a
/// few silent clients lock everybody else out. Where none is late, a herd of honest peers has come
/// at once: ending the one that is nearest to its end for each that begins would let none of them
/// through.
bool InboundTunnels::DisplaceIfLate(InboundTunnel* handshake) {
  const uint64_t late_us = uint64_t{1000} * worker_->options().tls_timeout_ms / kLateFraction;
  if (worker_->loop()->now_us() - handshake->started_us() < late_us) return false;
  worker_->counters().Add(Counter::kHandshakesDisplaced);
  handshake->session()->Close(ErrorCode::kLimitConnections,
                              "gave way to a newer handshake with this pod");
  return true;
}

/// What never became a connection, a tunnel or a request, belongs into the access log all the same.
void InboundTunnels::RecordRefusal(const InboundTunnel& tunnel, ErrorCode code,
                                   const std::string& detail, const HboneRequest* request) {
  msg::ConnectionClosed record;
  record.id = worker_->NextConnectionId();
  record.direction = msg::Direction::kInbound;
  record.pod = tunnel.pod()->id;
  record.hop = msg::HopKind::kHbone;
  record.security = msg::Security::kMutualTls;
  record.code = static_cast<uint16_t>(code);
  record.source = tunnel.source();
  record.original_dst = tunnel.local();
  if (request != nullptr) DescribeRequest(*request, &record);
  if (tunnel.established()) record.source_identity = tunnel.peer();
  record.destination_identity = tunnel.pod()->identity;
  record.peer_label = worker_->PeerLabelOf(tunnel.source().ip);
  record.started_ms = WallMs();
  record.detail = DetailText(detail);
  if (code == ErrorCode::kOutOfFiles) worker_->counters().Add(Counter::kOutOfFiles);
  record.flow_label = worker_->LabelOf(*tunnel.pod());
  ++worker_->FlowRowOf({record.direction, record.flow_label, record.peer_label, code}).failed;
  worker_->events().Push(std::move(record));
}

void InboundTunnels::EndHandshake(InboundTunnel* tunnel) {
  const auto of_pod = handshaking_.find(tunnel->pod()->id);
  std::erase(of_pod->second, tunnel);
  if (of_pod->second.empty()) handshaking_.erase(of_pod);
}

void InboundTunnels::Remove(InboundTunnel* tunnel) {
  const auto owned =
      std::find_if(tunnels_.begin(), tunnels_.end(),
                   [tunnel](const auto& candidate) { return candidate.get() == tunnel; });
  const auto of_peer = of_peer_.find(tunnel->source().ip);
  if (--of_peer->second == 0) of_peer_.erase(of_peer);
  worker_->loop()->Discard(std::move(*owned));
  tunnels_.erase(owned);
}

template <typename Predicate, typename Action>
void InboundTunnels::ForEach(Predicate predicate, Action action) {
  // An action may end a tunnel, which takes it off the list.
  std::vector<InboundTunnel*> chosen;
  for (const auto& tunnel : tunnels_) {
    if (predicate(*tunnel)) chosen.push_back(tunnel.get());
  }
  for (InboundTunnel* tunnel : chosen) action(tunnel->session());
}

void InboundTunnels::DrainPod(uint32_t pod) {
  ForEach([pod](const InboundTunnel& tunnel) { return tunnel.pod()->id == pod; },
          [](HboneSession* session) { session->Drain(); });
}

void InboundTunnels::ClosePod(uint32_t pod, ErrorCode code) {
  ForEach([pod](const InboundTunnel& tunnel) { return tunnel.pod()->id == pod; },
          [code](HboneSession* session) { session->Close(code, "pod released"); });
}

void InboundTunnels::CloseIdentity(const std::string& identity, ErrorCode code) {
  ForEach([&](const InboundTunnel& tunnel) { return tunnel.pod()->identity == identity; },
          [code](HboneSession* session) { session->Close(code, "identity removed"); });
}

void InboundTunnels::DrainAll() {
  ForEach([](const InboundTunnel&) { return true; },
          [](HboneSession* session) { session->Drain(); });
}

void InboundTunnels::CloseAll(ErrorCode code) {
  ForEach([](const InboundTunnel&) { return true; },
          [code](HboneSession* session) { session->Close(code, "engine closed"); });
}

void InboundTunnels::AppendSnapshot(std::vector<msg::Tunnel>* tunnels) const {
  for (const auto& tunnel : tunnels_) {
    if (tunnel->session()->state() == HboneSession::State::kOpen)
      tunnels->push_back(tunnel->Describe());
  }
}

}  // namespace groundwire
