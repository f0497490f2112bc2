// SPDX-License-Identifier: Apache-2.0
// The tunnels a worker dialled: shared by connections of one pod to one peer, several a pair, each
// as long as its proof.
#pragma once
#include <cstdint>
#include <list>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "capture/pod.h"
#include "hbone/tunnel_context.h"
#include "http2/http2_session.h"
#include "tls/secured_stream.h"
#include "tls/tunnel_lease.h"

namespace groundwire {

/// Who dials (the pod, and with it the identity), who may answer, and where.
struct TunnelKey {
  uint32_t pod = 0;
  SocketAddress next_hop;
  std::vector<std::string> upstream_identities;
  bool operator==(const TunnelKey&) const = default;
};

struct TunnelKeyHash {
  size_t operator()(const TunnelKey& key) const;
};

/// Told with HBONE_RESPONSE_TIMEOUT where the CONNECT never left.
inline constexpr char kNoStreamsDetail[] = "the peer takes no more streams";

/// A connection that wants a stream.
class TunnelUser {
 public:
  /// Opens its stream now. `reused`: others used the tunnel before, so it may turn out to be stale.
  virtual void OnTunnel(Http2Session* session, const std::string& peer, bool reused) = 0;
  virtual void OnNoTunnel(ErrorCode code, const std::string& detail) = 0;

 protected:
  ~TunnelUser() = default;
};

class TunnelPool {
 public:
  explicit TunnelPool(const TunnelContext& context);
  ~TunnelPool();
  TunnelPool(const TunnelPool&) = delete;
  TunnelPool& operator=(const TunnelPool&) = delete;

  /// Calls the user at once when a tunnel has room, otherwise after the dial, or when a peer that
  /// took no streams takes them again; it waits as long as for a connect.
  void Acquire(const std::shared_ptr<const Pod>& pod, const TunnelKey& key, TunnelUser* user);
  /// The user is not called any more.
  void Cancel(TunnelUser* user);
  /// The identity has another certificate now: tunnels of the older one take no new streams.
  void OnIdentityReplaced(const std::string& identity);
  void CloseIdentity(const std::string& identity, ErrorCode code);
  void ClosePod(uint32_t pod, ErrorCode code);
  void CloseAll(ErrorCode code);
  /// No new tunnels are needed for the pod any more: those without streams end now, the others with
  /// their last one.
  void DrainPod(uint32_t pod);
  void DrainAll();
  void AppendSnapshot(std::vector<msg::Tunnel>* tunnels) const;
  size_t size() const { return tunnels_.size(); }

 private:
  class Tunnel;
  struct Peer {
    std::vector<Tunnel*> tunnels;
    EventLoop::TimerId proof_retry{};
  };

  const ThreadContext& thread() const { return context_.thread; }
  /// `since_us`: when the user's wait began, on whatever tunnel.
  void Acquire(const std::shared_ptr<const Pod>& pod, const TunnelKey& key, TunnelUser* user,
               uint64_t since_us);
  Tunnel* Dial(const std::shared_ptr<const Pod>& pod, const TunnelKey& key, ErrorCode* refusal);
  /// Of the certificate the pod has now; 0: none.
  uint64_t GenerationOf(const Pod& pod) const;
  void OnStale(Tunnel* tunnel);
  void EnsureProof(const std::shared_ptr<const Pod>& pod, const TunnelKey& key);
  void Remove(Tunnel* tunnel);
  template <typename Predicate, typename Action>
  void ForEach(Predicate predicate, Action action);

  const TunnelContext context_;
  std::unordered_map<TunnelKey, Peer, TunnelKeyHash> peers_;
  std::list<std::unique_ptr<Tunnel>> tunnels_;
};

}  // namespace groundwire
