// SPDX-License-Identifier: Apache-2.0
#include "tunnel_pool.h"

#include <algorithm>
#include <utility>

#include "clock.h"
#include "socket_options.h"

namespace groundwire {
namespace {

// Above this many streams on the least loaded tunnel another is dialled, so that one TCP
// connection's loss or one slow peer thread does not hold all of a pair's traffic...
constexpr size_t kSpreadStreams = 32;
// ...but not more than this many for that reason; beyond, tunnels fill up to the limit of the peer
// first. Nor more for a peer that takes no streams on them.
constexpr size_t kSpreadTunnels = 4;
constexpr size_t kTunnelsPerPeerMax = 1024;
constexpr uint64_t kProofRetryMinMs = 1000;

}  // namespace

size_t TunnelKeyHash::operator()(const TunnelKey& key) const {
  size_t hash = HashOf(key.next_hop) * 31 + key.pod;
  for (const std::string& identity : key.upstream_identities)
    hash = hash * 31 + std::hash<std::string>{}(identity);
  return hash;
}

/// One dialled tunnel and those who wait for it.
class TunnelPool::Tunnel final : public HboneSessionOwner, public Discardable {
 public:
  Tunnel(TunnelPool* pool, std::shared_ptr<const Pod> pod, const TunnelKey& key)
      : pool_(pool),
        pod_(std::move(pod)),
        key_(key),
        lease_(
            pool->loop_, &pool->shared_->proofs, [this] { pool_->OnStale(this); },
            [this] { OnLeaseEnd(); }) {}

  Status Start(UniqueFd fd, std::shared_ptr<const TlsIdentity> identity) {
    PeerCheck check;
    check.expected = key_.upstream_identities;
    generation_ = identity->generation;
    const int socket = fd.get();
    auto stream = std::make_unique<TlsStream>(socket, TlsStream::Role::kClient, std::move(identity),
                                              std::move(check), pool_->scratch_);
    tls_ = stream.get();
    session_ = std::make_unique<HboneSession>(
        HboneSession::Role::kClient, std::move(fd), std::move(stream), pool_->shared_->hbone,
        pool_->loop_, pool_->scratch_, pool_->counters_, this);
    return session_->Start();
  }

  void OnEstablished(HboneSession*) override {
    established_ms_ = WallMs();
    pool_->counters_->Add(Counter::kTlsHandshakes);
    lease_.Start({key_.pod, tls_->peer(), key_.next_hop}, tls_->identity().not_after_ms,
                 tls_->peer_not_after_ms(), generation_);
    OnCapacity(session_.get());
    if (waiting_.empty() && session_->streams() == 0) StartIdle();
  }
  void OnRequest(HboneSession*, HboneStream*, HboneRequest) override {}
  void OnCapacity(HboneSession*) override {
    while (!waiting_.empty() && session_->state() == HboneSession::State::kOpen && HasRoom()) {
      TunnelUser* user = waiting_.front();
      waiting_.pop_front();
      const bool reused = session_->streams_total() > 0;
      user->OnTunnel(session_.get(), tls_->peer(), reused);
    }
    if (session_->state() != HboneSession::State::kOpen) return;
    // A peer that takes no streams now (SETTINGS_MAX_CONCURRENT_STREAMS 0) may again; there need not
    // be another tunnel that is better.
    if (session_->draining() || (!HasRoom() && session_->streams_max() > 0)) HandOver();
    BoundWait();
    if (session_->streams() > 0 || !waiting_.empty()) return pool_->loop_->Cancel(&idle_);
    if (!IsFresh(pool_->GenerationOf(*pod_))) return session_->Drain();
    StartIdle();
  }
  void OnSessionClosed(HboneSession*, ErrorCode code, const std::string& detail) override {
    pool_->loop_->Cancel(&idle_);
    pool_->loop_->Cancel(&wait_bound_);
    lease_.Stop();
    const bool failed = established_ms_ == 0;
    if (failed) {
      pool_->counters_->Add(Counter::kTunnelsDialFailed);
      if (code == ErrorCode::kTlsHandshakeFailed || code == ErrorCode::kTlsUnexpectedIdentity) {
        pool_->counters_->Add(Counter::kTlsHandshakesFailed);
      }
    }
    const std::deque<TunnelUser*> waiting = std::move(waiting_);
    waiting_.clear();
    // The pool deletes this tunnel two turns from now.
    pool_->Remove(this);
    for (TunnelUser* user : waiting) {
      if (failed || IsEndedHere(code)) {
        user->OnNoTunnel(code, detail);
      } else {
        pool_->Acquire(pod_, key_, user);
      }
    }
  }

  /// Usable for one more stream, now or once it is established.
  bool Usable(uint64_t generation) const {
    return session_->state() != HboneSession::State::kClosed && !session_->draining() &&
           load() < session_->streams_max() && IsFresh(generation);
  }
  /// Made with the certificate `generation`, and the peer's certificate has not used up half of its
  /// rest.
  bool IsFresh(uint64_t generation) const {
    return generation == generation_ && (!established() || WallMs() < lease_.fresh_until_ms());
  }
  /// The peer takes no streams at the moment; whoever wants one may wait here.
  bool Paused(uint64_t generation) const {
    return established() && !session_->draining() && session_->streams_max() == 0 &&
           IsFresh(generation);
  }
  bool HasRoom() const { return session_->streams() < session_->streams_max(); }
  size_t load() const { return session_->streams() + waiting_.size(); }
  bool established() const { return session_->state() == HboneSession::State::kOpen; }
  void Wait(TunnelUser* user) { waiting_.push_back(user); }
  bool Forget(TunnelUser* user) { return std::erase(waiting_, user) > 0; }

  msg::Tunnel Describe() const {
    msg::Tunnel tunnel;
    tunnel.direction = msg::Direction::kOutbound;
    tunnel.pod = key_.pod;
    tunnel.local = tls_->identity().name;
    tunnel.peer = tls_->peer();
    tunnel.remote = key_.next_hop;
    tunnel.streams = static_cast<uint32_t>(session_->streams());
    tunnel.streams_total = session_->streams_total();
    tunnel.established_ms = established_ms_;
    tunnel.not_after_ms = lease_.until_ms();
    tunnel.draining = session_->draining() || !IsFresh(pool_->GenerationOf(*pod_));
    return tunnel;
  }

  HboneSession* session() const { return session_.get(); }
  const TunnelKey& key() const { return key_; }
  const std::shared_ptr<const Pod>& pod() const { return pod_; }
  const TunnelLease& lease() const { return lease_; }

 private:
  void StartIdle() {
    pool_->loop_->Cancel(&idle_);
    idle_ = pool_->loop_->After(pool_->shared_->options.tunnel_idle_ms, [this] {
      pool_->counters_->Add(Counter::kTunnelsIdleClosed);
      session_->Close(ErrorCode::kNone, "idle");
    });
  }
  void BoundWait() {
    if (!established() || waiting_.empty()) return pool_->loop_->Cancel(&wait_bound_);
    if (wait_bound_ != EventLoop::TimerId{}) return;
    wait_bound_ = pool_->loop_->After(pool_->shared_->options.connect_timeout_ms, [this] {
      wait_bound_ = {};
      const std::deque<TunnelUser*> waiting = std::move(waiting_);
      waiting_.clear();
      for (TunnelUser* user : waiting) {
        pool_->counters_->Add(Counter::kTunnelStreamsHeldBack);
        user->OnNoTunnel(ErrorCode::kHboneResponseTimeout, kNoStreamsDetail);
      }
      OnCapacity(session_.get());
    });
  }
  void OnLeaseEnd() {
    pool_->counters_->Add(Counter::kTunnelsExpired);
    session_->Close(ErrorCode::kCertificateExpired, "no newer proof of the peer's identity");
  }
  /// Those who wait for room that will not come here look for another tunnel.
  void HandOver() {
    const std::deque<TunnelUser*> waiting = std::move(waiting_);
    waiting_.clear();
    for (TunnelUser* user : waiting) pool_->Acquire(pod_, key_, user);
  }

  TunnelPool* const pool_;
  const std::shared_ptr<const Pod> pod_;
  const TunnelKey key_;
  std::unique_ptr<HboneSession> session_;
  TlsStream* tls_ = nullptr;
  TunnelLease lease_;
  uint64_t generation_ = 0;
  uint64_t established_ms_ = 0;
  std::deque<TunnelUser*> waiting_;
  EventLoop::TimerId idle_{};
  EventLoop::TimerId wait_bound_{};
};

TunnelPool::TunnelPool(EngineShared* shared, EventLoop* loop, ThreadScratch* scratch,
                       Counters* counters)
    : shared_(shared), loop_(loop), scratch_(scratch), counters_(counters) {}

TunnelPool::~TunnelPool() = default;

void TunnelPool::Acquire(const std::shared_ptr<const Pod>& pod, const TunnelKey& key,
                         TunnelUser* user) {
  const uint64_t generation = GenerationOf(*pod);
  Tunnel* best = nullptr;
  Tunnel* paused = nullptr;
  size_t usable = 0;
  size_t all_paused = 0;
  const auto peer = peers_.find(key);
  for (Tunnel* tunnel : peer == peers_.end() ? std::vector<Tunnel*>() : peer->second.tunnels) {
    if (tunnel->Paused(generation)) {
      ++all_paused;
      if (paused == nullptr || tunnel->load() < paused->load()) paused = tunnel;
    }
    if (!tunnel->Usable(generation)) continue;
    ++usable;
    // An established tunnel before one that is still dialling, then the one with fewer streams.
    const auto rank = [](const Tunnel* t) { return std::pair(!t->established(), t->load()); };
    if (best == nullptr || rank(tunnel) < rank(best)) best = tunnel;
  }
  if (best == nullptr && all_paused >= kSpreadTunnels) {
    best = paused;
  } else if (best == nullptr || (best->load() >= kSpreadStreams && usable < kSpreadTunnels)) {
    ErrorCode refusal = ErrorCode::kNone;
    Tunnel* dialled = Dial(pod, key, &refusal);
    if (best == nullptr) best = dialled;
    if (best == nullptr) return user->OnNoTunnel(refusal, "");
  }
  best->Wait(user);
  best->OnCapacity(best->session());
}

TunnelPool::Tunnel* TunnelPool::Dial(const std::shared_ptr<const Pod>& pod, const TunnelKey& key,
                                     ErrorCode* refusal) {
  const auto peer = peers_.find(key);
  if (peer != peers_.end() && peer->second.tunnels.size() >= kTunnelsPerPeerMax) {
    counters_->Add(Counter::kTunnelsFull);
    *refusal = ErrorCode::kLimitConnections;
    return nullptr;
  }
  auto identity = shared_->identities.Find(pod->identity);
  if (!identity) {
    *refusal = ErrorCode::kIdentityUnavailable;
    return nullptr;
  }
  Result<int> socket = shared_->sockets->OpenPodSocket(pod->netns_fd, key.next_hop.family());
  if (!socket.ok()) {
    *refusal = CodeOfConnectError(socket.status().errno_value);
    if (*refusal == ErrorCode::kNone) *refusal = ErrorCode::kConnectUnreachable;
    return nullptr;
  }
  UniqueFd fd(socket.value());
  SetApplicationSocketOptions(fd.get());
  *refusal = CodeOfConnectError(StartConnect(fd.get(), key.next_hop));
  if (*refusal == ErrorCode::kSourcePortsExhausted) counters_->Add(Counter::kSourcePortsExhausted);
  if (*refusal != ErrorCode::kNone) return nullptr;
  auto tunnel = std::make_unique<Tunnel>(this, pod, key);
  if (!tunnel->Start(std::move(fd), std::move(identity)).ok()) {
    *refusal = ErrorCode::kOutOfFiles;
    return nullptr;
  }
  counters_->Add(Counter::kTunnelsDialled);
  Tunnel* const made = tunnel.get();
  peers_[key].tunnels.push_back(made);
  tunnels_.push_back(std::move(tunnel));
  return made;
}

uint64_t TunnelPool::GenerationOf(const Pod& pod) const {
  const auto identity = shared_->identities.Find(pod.identity);
  return identity ? identity->generation : 0;
}

void TunnelPool::OnStale(Tunnel* tunnel) {
  if (!tunnel->established()) return;
  // An idle tunnel may have been the proof by which an older one's streams live: they need the
  // next.
  if (tunnel->load() == 0) tunnel->session()->Drain();
  // Ended or not, it outlives this turn.
  EnsureProof(tunnel->pod(), tunnel->key());
}

void TunnelPool::EnsureProof(const std::shared_ptr<const Pod>& pod, const TunnelKey& key) {
  const auto found = peers_.find(key);
  if (found == peers_.end()) return;
  Peer& peer = found->second;
  const uint64_t generation = GenerationOf(*pod);
  const uint64_t now = WallMs();
  uint64_t last_end = 0;
  uint64_t fresh_until = 0;
  for (const Tunnel* tunnel : peer.tunnels) {
    if (tunnel->session()->state() == HboneSession::State::kClosed) continue;
    if (tunnel->IsFresh(generation)) {
      fresh_until = std::max(fresh_until, tunnel->established() ? tunnel->lease().fresh_until_ms()
                                                                : now + kProofRetryMinMs);
    }
    if (!tunnel->established() || tunnel->load() == 0) continue;
    // Another worker's handshake, or one whose tunnel went idle since, proves as well as a new one.
    const ProofTable::Proof proof = shared_->proofs.Find(tunnel->lease().key());
    if (proof.generation == generation) fresh_until = std::max(fresh_until, proof.fresh_until_ms);
    last_end = std::max({last_end, proof.until_ms, tunnel->lease().until_ms()});
  }
  if (last_end <= now) return;
  // Whoever made the newest proof need not be there to renew it: each pool with live streams looks
  // for itself.
  uint64_t again_ms = fresh_until > now ? fresh_until - now : 0;
  if (again_ms == 0) {
    counters_->Add(Counter::kTunnelsProofDialled);
    ErrorCode refusal = ErrorCode::kNone;
    (void)Dial(pod, key, &refusal);
    // In time for several tries before the lease ends, whatever becomes of this one.
    again_ms = std::max((last_end - now) / 8, kProofRetryMinMs);
  }
  loop_->Cancel(&peer.proof_retry);
  peer.proof_retry = loop_->After(again_ms, [this, pod, key] { EnsureProof(pod, key); });
}

void TunnelPool::OnIdentityReplaced(const std::string& identity) {
  ForEach([&](const Tunnel& tunnel) { return tunnel.pod()->identity == identity; },
          [this](Tunnel* tunnel) { OnStale(tunnel); });
}

void TunnelPool::CloseIdentity(const std::string& identity, ErrorCode code) {
  ForEach([&](const Tunnel& tunnel) { return tunnel.pod()->identity == identity; },
          [code](Tunnel* tunnel) { tunnel->session()->Close(code, "identity removed"); });
}

void TunnelPool::ClosePod(uint32_t pod, ErrorCode code) {
  ForEach([pod](const Tunnel& tunnel) { return tunnel.key().pod == pod; },
          [code](Tunnel* tunnel) { tunnel->session()->Close(code, "pod released"); });
}

void TunnelPool::CloseAll(ErrorCode code) {
  ForEach([](const Tunnel&) { return true; },
          [code](Tunnel* tunnel) { tunnel->session()->Close(code, "engine closed"); });
}

void TunnelPool::DrainPod(uint32_t pod) {
  ForEach([pod](const Tunnel& tunnel) { return tunnel.key().pod == pod; },
          [](Tunnel* tunnel) { tunnel->session()->Drain(); });
}

void TunnelPool::DrainAll() {
  ForEach([](const Tunnel&) { return true; }, [](Tunnel* tunnel) { tunnel->session()->Drain(); });
}

template <typename Predicate, typename Action>
void TunnelPool::ForEach(Predicate predicate, Action action) {
  // An action may end a tunnel or dial another: work on a copy, whose tunnels outlive this turn in
  // any case.
  std::vector<Tunnel*> chosen;
  for (const auto& tunnel : tunnels_) {
    if (predicate(*tunnel)) chosen.push_back(tunnel.get());
  }
  for (Tunnel* tunnel : chosen) {
    if (tunnel->session()->state() != HboneSession::State::kClosed) action(tunnel);
  }
}

void TunnelPool::Cancel(TunnelUser* user) {
  for (const auto& tunnel : tunnels_) {
    if (tunnel->Forget(user)) return;
  }
}

void TunnelPool::Remove(Tunnel* tunnel) {
  const auto peer = peers_.find(tunnel->key());
  std::erase(peer->second.tunnels, tunnel);
  if (peer->second.tunnels.empty()) {
    loop_->Cancel(&peer->second.proof_retry);
    peers_.erase(peer);
  }
  const auto owned =
      std::find_if(tunnels_.begin(), tunnels_.end(),
                   [tunnel](const auto& candidate) { return candidate.get() == tunnel; });
  loop_->Discard(std::move(*owned));
  tunnels_.erase(owned);
}

void TunnelPool::AppendSnapshot(std::vector<msg::Tunnel>* tunnels) const {
  for (const auto& tunnel : tunnels_) {
    if (tunnel->established()) tunnels->push_back(tunnel->Describe());
  }
}

}  // namespace groundwire
