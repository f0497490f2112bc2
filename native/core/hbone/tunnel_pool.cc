// SPDX-License-Identifier: Apache-2.0
#include "hbone/tunnel_pool.h"

#include <algorithm>
#include <functional>
#include <utility>

#include "base/clock.h"
#include "hbone/dialled_tunnel.h"
#include "io/socket_options.h"

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

TunnelPool::TunnelPool(const TunnelContext& context) : context_(context) {}

TunnelPool::~TunnelPool() = default;

void TunnelPool::Acquire(const std::shared_ptr<const Pod>& pod, const TunnelKey& key,
                         TunnelUser* user) {
  Acquire(pod, key, user, thread().loop->now_us());
}

void TunnelPool::Acquire(const std::shared_ptr<const Pod>& pod, const TunnelKey& key,
                         TunnelUser* user, uint64_t since_us) {
  const uint64_t generation = GenerationOf(*pod);
  Tunnel* best = nullptr;
  Tunnel* paused = nullptr;
  size_t usable = 0;
  size_t all_paused = 0;
  const auto peer = peers_.find(key);
  static const std::vector<Tunnel*> none;
  for (Tunnel* tunnel : peer == peers_.end() ? none : peer->second.tunnels) {
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
  best->Wait(user, since_us);
  best->OnCapacity(best->session());
}

TunnelPool::Tunnel* TunnelPool::Dial(const std::shared_ptr<const Pod>& pod, const TunnelKey& key,
                                     ErrorCode* refusal) {
  const auto fail = [&](ErrorCode code) -> Tunnel* {
    thread().counters->Add(Counter::kTunnelsDialFailed);
    *refusal = code;
    return nullptr;
  };
  const auto peer = peers_.find(key);
  if (peer != peers_.end() && peer->second.tunnels.size() >= kTunnelsPerPeerMax) {
    thread().counters->Add(Counter::kTunnelsFull);
    return fail(ErrorCode::kLimitConnections);
  }
  auto identity = context_.identities->Find(pod->identity);
  if (!identity) return fail(ErrorCode::kIdentityUnavailable);
  Result<int> socket = context_.sockets->OpenPodSocket(pod->netns_fd, key.next_hop.family());
  if (!socket.ok()) {
    const ErrorCode code = CodeOfConnectError(socket.status().errno_value);
    return fail(code == ErrorCode::kNone ? ErrorCode::kConnectUnreachable : code);
  }
  UniqueFd fd(socket.value());
  SetApplicationSocketOptions(fd.get());
  const ErrorCode begun = CodeOfConnectError(StartConnect(fd.get(), key.next_hop));
  if (begun == ErrorCode::kSourcePortsExhausted)
    thread().counters->Add(Counter::kSourcePortsExhausted);
  if (begun != ErrorCode::kNone) return fail(begun);
  auto tunnel = std::make_unique<Tunnel>(this, pod, key);
  if (!tunnel->Start(std::move(fd), std::move(identity)).ok()) return fail(ErrorCode::kOutOfFiles);
  thread().counters->Add(Counter::kTunnelsDialled);
  Tunnel* const made = tunnel.get();
  peers_[key].tunnels.push_back(made);
  tunnels_.push_back(std::move(tunnel));
  return made;
}

uint64_t TunnelPool::GenerationOf(const Pod& pod) const {
  const auto identity = context_.identities->Find(pod.identity);
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
    if (tunnel->session()->state() == Http2Session::State::kClosed) continue;
    if (tunnel->IsFresh(generation)) {
      fresh_until = std::max(fresh_until, tunnel->established() ? tunnel->lease().fresh_until_ms()
                                                                : now + kProofRetryMinMs);
    }
    if (!tunnel->established() || tunnel->load() == 0) continue;
    // Another worker's handshake, or one whose tunnel went idle since, proves as well as a new one.
    const ProofTable::Proof proof = context_.proofs->Find(tunnel->lease().key());
    if (proof.generation == generation) fresh_until = std::max(fresh_until, proof.fresh_until_ms);
    last_end = std::max({last_end, proof.until_ms, tunnel->lease().until_ms()});
  }
  if (last_end <= now) return;
  // Whoever made the newest proof need not be there to renew it: each pool with live streams looks
  // for itself.
  uint64_t again_ms = fresh_until > now ? fresh_until - now : 0;
  if (again_ms == 0) {
    thread().counters->Add(Counter::kTunnelsProofDialled);
    ErrorCode refusal = ErrorCode::kNone;
    (void)Dial(pod, key, &refusal);
    // In time for several tries before the lease ends, whatever becomes of this one.
    again_ms = std::max((last_end - now) / 8, kProofRetryMinMs);
  }
  thread().loop->Cancel(&peer.proof_retry);
  peer.proof_retry = thread().loop->After(again_ms, [this, pod, key] { EnsureProof(pod, key); });
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
    if (tunnel->session()->state() != Http2Session::State::kClosed) action(tunnel);
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
    thread().loop->Cancel(&peer->second.proof_retry);
    peers_.erase(peer);
  }
  const auto owned =
      std::find_if(tunnels_.begin(), tunnels_.end(),
                   [tunnel](const auto& candidate) { return candidate.get() == tunnel; });
  thread().loop->Discard(std::move(*owned));
  tunnels_.erase(owned);
}

void TunnelPool::AppendSnapshot(std::vector<msg::Tunnel>* tunnels) const {
  for (const auto& tunnel : tunnels_) {
    if (tunnel->established()) tunnels->push_back(tunnel->Describe());
  }
}

}  // namespace groundwire
