// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <functional>
#include <utility>

#include "io/event_loop.h"
#include "tls/proof_table.h"

namespace groundwire {

/// How long one tunnel may be used: for new streams while both of its certificates are fresh, for
/// live streams while the peer's identity is proven, by this handshake or by a newer one between
/// the same two.
class TunnelLease {
 public:
  /// `on_stale`: no new streams from now on. `on_end`: the tunnel must end now. Either may be
  /// called from a timer.
  TunnelLease(EventLoop* loop, ProofTable* proofs, std::function<void()> on_stale,
              std::function<void()> on_end)
      : loop_(loop), proofs_(proofs), on_stale_(std::move(on_stale)), on_end_(std::move(on_end)) {}
  ~TunnelLease() { Stop(); }
  TunnelLease(const TunnelLease&) = delete;
  TunnelLease& operator=(const TunnelLease&) = delete;

  /// After the handshake; records the proof.
  void Start(ProofTable::Key key, uint64_t own_not_after_ms, uint64_t peer_not_after_ms,
             uint64_t generation);
  void Stop();
  uint64_t fresh_until_ms() const { return proof_.fresh_until_ms; }
  uint64_t until_ms() const { return proof_.until_ms; }
  const ProofTable::Key& key() const { return key_; }

 private:
  void CheckEnd();

  EventLoop* const loop_;
  ProofTable* const proofs_;
  const std::function<void()> on_stale_;
  const std::function<void()> on_end_;
  ProofTable::Key key_;
  ProofTable::Proof proof_;
  EventLoop::TimerId stale_timer_{};
  EventLoop::TimerId end_timer_{};
};

}  // namespace groundwire
