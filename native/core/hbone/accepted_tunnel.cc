// SPDX-License-Identifier: Apache-2.0
#include "hbone/accepted_tunnel.h"

#include <algorithm>
#include <cstdint>
#include <utility>

#include "base/clock.h"
#include "io/socket_options.h"
#include "tls/secured_stream.h"

namespace groundwire {
namespace {

// For each worker. Before TLS anybody may connect, so what has proven nothing yet gets little room,
// pod by pod.
constexpr size_t kHandshakingPerPodMax = 256;
// Over all pods: each is 73 KB at most while it waits for its peer (tls/tls_stream.cc), so all are
// 75 MB.
constexpr size_t kHandshakingMax = 1024;
// Of the time a handshake may take: 1 s as it is set by default. A peer that means it needs
// milliseconds.
constexpr uint32_t kLateFraction = 10;

/// As many as are left for others and no more, as with a pod's part of the connections
/// (Books::Admit): a peer that takes all it can get leaves half, and two such peers a third.
bool HasShare(size_t of_peer, size_t taken, size_t max) {
  return of_peer == 0 || of_peer + taken < max;
}

}  // namespace

AcceptedTunnel::AcceptedTunnel(const TunnelContext& context, AcceptedTunnels* tunnels,
                               std::shared_ptr<const Pod> pod, const SocketAddress& source)
    : context_(context),
      tunnels_(tunnels),
      pod_(std::move(pod)),
      source_(source),
      started_us_(context.thread.loop->now_us()),
      // A dialling side of ours knows by itself when a tunnel is stale. Others hear it by GOAWAY,
      // half of the proof's time before it ends, and prove themselves anew with their next stream.
      lease_(
          context.thread.loop, context.proofs,
          [this] {
            if (session_->draining()) return;
            context_.thread.counters->Add(Counter::kTunnelsStaleDrained);
            session_->Drain();
          },
          [this] {
            context_.thread.counters->Add(Counter::kTunnelsExpired);
            session_->Close(ErrorCode::kCertificateExpired,
                            "no newer proof of the peer's identity");
          }) {}

AcceptedTunnel::~AcceptedTunnel() { context_.thread.loop->Cancel(&idle_); }

Status AcceptedTunnel::Start(UniqueFd fd, std::shared_ptr<const TlsIdentity> identity) {
  local_ = LocalAddress(fd.get());
  auto stream =
      AcceptSecuredStream(std::move(fd), std::move(identity), context_.thread.options->trust_domain,
                          context_.secured, context_.thread.loop, context_.thread.scratch);
  secured_ = stream.get();
  secured_->LingerAt(context_.thread.lingering, pod_->id);
  session_ = std::make_unique<Http2Session>(
      Http2Session::Role::kServer, std::move(stream), *context_.http2, context_.thread.loop,
      context_.thread.scratch, context_.thread.counters, this);
  session_->LimitWindows(context_.thread.kept->AccountOf(pod_->id));
  return session_->Start();
}

void AcceptedTunnel::OnEstablished(Http2Session*) {
  established_ms_ = WallMs();
  tunnels_->EndHandshake(this);
  context_.thread.counters->Add(Counter::kTlsHandshakes);
  context_.thread.counters->Add(Counter::kTunnelsAccepted);
  lease_.Start({pod_->id, secured_->peer_identity(), {source_.ip, 0}}, secured_->own_not_after_ms(),
               secured_->peer_not_after_ms(), secured_->generation());
  OnCapacity(session_.get());
}

void AcceptedTunnel::OnCapacity(Http2Session*) {
  context_.thread.loop->Cancel(&idle_);
  if (session_->streams() > 0 || session_->draining() ||
      session_->state() != Http2Session::State::kOpen)
    return;
  // The dialling side goes first; this ends the tunnels of a peer that never would.
  idle_ =
      context_.thread.loop->After(uint64_t{2} * context_.thread.options->tunnel_idle_ms, [this] {
        if (session_->streams() > 0 || session_->draining()) return;
        context_.thread.counters->Add(Counter::kTunnelsIdleClosed);
        session_->Drain();
      });
}

void AcceptedTunnel::OnRequest(Http2Session*, Http2Stream* stream, HeaderList headers) {
  tunnels_->user()->OnRequest(*this, stream, HboneRequest(headers));
}

void AcceptedTunnel::OnMalformedRequest(Http2Session*, const HeaderList& headers,
                                        const char* detail) {
  const HboneRequest request(headers);
  tunnels_->user()->OnRefusal(*this, ErrorCode::kHboneBadRequest, detail, &request);
}

void AcceptedTunnel::OnSessionClosed(Http2Session*, ErrorCode code, const std::string& detail) {
  lease_.Stop();
  context_.thread.loop->Cancel(&idle_);
  if (established_ms_ == 0) tunnels_->EndHandshake(this);
  if (established_ms_ == 0 && code != ErrorCode::kDrained) {
    if (IsHandshakeFailure(code)) context_.thread.counters->Add(Counter::kTlsHandshakesFailed);
    tunnels_->user()->OnRefusal(*this, code, detail, nullptr);
  }
  // The peer proved who it is and then did not speak HBONE; streams it had have said so themselves.
  if (established_ms_ != 0 && code == ErrorCode::kHboneProtocol && session_->streams_lost() == 0)
    tunnels_->user()->OnRefusal(*this, code, detail, nullptr);
  tunnels_->Remove(this);
}

const std::string& AcceptedTunnel::peer() const { return secured_->peer_identity(); }

msg::Tunnel AcceptedTunnel::Describe() const {
  msg::Tunnel tunnel;
  tunnel.direction = msg::Direction::kInbound;
  tunnel.pod = pod_->id;
  tunnel.local = secured_->own_identity();
  tunnel.peer = secured_->peer_identity();
  tunnel.remote = source_;
  tunnel.streams = static_cast<uint32_t>(session_->streams());
  tunnel.streams_total = session_->streams_total();
  tunnel.established_ms = established_ms_;
  tunnel.not_after_ms = lease_.until_ms();
  tunnel.draining = session_->draining();
  return tunnel;
}

void AcceptedTunnels::Accept(const std::shared_ptr<const Pod>& pod, UniqueFd fd,
                             const SocketAddress& source, ErrorCode refusal) {
  auto identity = context_.identities->Find(pod->identity);
  auto tunnel = std::make_unique<AcceptedTunnel>(context_, this, pod, source);
  if (refusal != ErrorCode::kNone) {
    user_->OnRefusal(*tunnel, refusal, "", nullptr);
    return CloseWithReset(&fd);
  }
  if (!identity) {
    user_->OnRefusal(*tunnel, ErrorCode::kIdentityUnavailable,
                     "no certificate of the pod's identity is valid", nullptr);
    return CloseWithReset(&fd);
  }
  if (const std::optional<Counter> full = MakeRoom(pod->id, source.ip)) {
    context_.thread.counters->Add(*full);
    user_->OnRefusal(*tunnel, ErrorCode::kLimitConnections,
                     *full == Counter::kLimitPeerTunnels ? "too many tunnels from this address"
                                                         : "too many tunnels",
                     nullptr);
    return CloseWithReset(&fd);
  }
  if (const Status started = tunnel->Start(std::move(fd), std::move(identity)); started.ok()) {
    handshaking_[pod->id].push_back(tunnel.get());
    ++handshaking_count_;
    ++of_peer_[source.ip];
    tunnels_.push_back(std::move(tunnel));
  } else {
    user_->OnRefusal(*tunnel, ErrorCode::kOutOfFiles, started.ToString(), nullptr);
  }
}

std::optional<Counter> AcceptedTunnels::MakeRoom(uint32_t pod, const IpAddress& peer) {
  const size_t tunnels_max = context_.thread.options->tunnels_accepted_max;
  const auto of_peer = of_peer_.find(peer);
  if (of_peer != of_peer_.end() && !HasShare(of_peer->second, tunnels_.size(), tunnels_max)) {
    return tunnels_.size() < tunnels_max ? Counter::kLimitPeerTunnels : Counter::kLimitTunnels;
  }
  if (handshaking_count_ >= kHandshakingMax) {
    // The pod that is asked most pays, as far as its peers are late.
    const auto most = std::ranges::max_element(
        handshaking_, {}, [](const auto& of_pod) { return of_pod.second.size(); });
    if (!DisplaceIfLate(most->second.front())) return Counter::kLimitTunnels;
  }
  const auto found = handshaking_.find(pod);
  if (found == handshaking_.end())
    return tunnels_.size() < tunnels_max ? std::nullopt : std::optional(Counter::kLimitTunnels);
  const std::deque<AcceptedTunnel*>& unfinished = found->second;
  const auto is_peers = [&](const AcceptedTunnel* one) { return one->source().ip == peer; };
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
bool AcceptedTunnels::DisplaceIfLate(AcceptedTunnel* handshake) {
  const uint64_t late_us = uint64_t{1000} * context_.thread.options->tls_timeout_ms / kLateFraction;
  if (context_.thread.loop->now_us() - handshake->started_us() < late_us) return false;
  context_.thread.counters->Add(Counter::kHandshakesDisplaced);
  handshake->session()->Close(ErrorCode::kLimitConnections,
                              "gave way to a newer handshake with this pod");
  return true;
}

void AcceptedTunnels::EndHandshake(AcceptedTunnel* tunnel) {
  const auto of_pod = handshaking_.find(tunnel->pod()->id);
  std::erase(of_pod->second, tunnel);
  --handshaking_count_;
  if (of_pod->second.empty()) handshaking_.erase(of_pod);
}

void AcceptedTunnels::Remove(AcceptedTunnel* tunnel) {
  const auto owned =
      std::find_if(tunnels_.begin(), tunnels_.end(),
                   [tunnel](const auto& candidate) { return candidate.get() == tunnel; });
  const auto of_peer = of_peer_.find(tunnel->source().ip);
  if (--of_peer->second == 0) of_peer_.erase(of_peer);
  context_.thread.loop->Discard(std::move(*owned));
  tunnels_.erase(owned);
}

template <typename Predicate, typename Action>
void AcceptedTunnels::ForEach(Predicate predicate, Action action) {
  // An action may end a tunnel, which takes it off the list.
  std::vector<AcceptedTunnel*> chosen;
  for (const auto& tunnel : tunnels_) {
    if (predicate(*tunnel)) chosen.push_back(tunnel.get());
  }
  for (AcceptedTunnel* tunnel : chosen) action(tunnel->session());
}

void AcceptedTunnels::DrainPod(uint32_t pod) {
  ForEach([pod](const AcceptedTunnel& tunnel) { return tunnel.pod()->id == pod; },
          [](Http2Session* session) { session->Drain(); });
}

void AcceptedTunnels::ClosePod(uint32_t pod, ErrorCode code) {
  ForEach([pod](const AcceptedTunnel& tunnel) { return tunnel.pod()->id == pod; },
          [code](Http2Session* session) { session->Close(code, "pod released"); });
}

void AcceptedTunnels::CloseIdentity(const std::string& identity, ErrorCode code) {
  ForEach([&](const AcceptedTunnel& tunnel) { return tunnel.pod()->identity == identity; },
          [code](Http2Session* session) { session->Close(code, "identity removed"); });
}

void AcceptedTunnels::DrainAll() {
  ForEach([](const AcceptedTunnel&) { return true; },
          [](Http2Session* session) { session->Drain(); });
}

void AcceptedTunnels::CloseAll(ErrorCode code) {
  ForEach([](const AcceptedTunnel&) { return true; },
          [code](Http2Session* session) { session->Close(code, "engine closed"); });
}

void AcceptedTunnels::AppendSnapshot(std::vector<msg::Tunnel>* tunnels) const {
  for (const auto& tunnel : tunnels_) {
    if (tunnel->session()->state() == Http2Session::State::kOpen)
      tunnels->push_back(tunnel->Describe());
  }
}

}  // namespace groundwire
