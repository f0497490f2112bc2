// SPDX-License-Identifier: Apache-2.0
#include "tls/tunnel_lease.h"

#include <algorithm>
#include <utility>

#include "base/clock.h"

namespace groundwire {
namespace {

// Timers run on the monotonic clock while certificates end on the wall clock: look again at least
// this often, so that a clock that was set cannot stretch a lease for long.
constexpr uint64_t kLookMs = 60000;

uint64_t UntilMs(uint64_t wall_ms) {
  const uint64_t now = WallMs();
  return wall_ms <= now ? 0 : wall_ms - now;
}

}  // namespace

void TunnelLease::Start(ProofTable::Key key, uint64_t own_not_after_ms, uint64_t peer_not_after_ms,
                        uint64_t generation) {
  key_ = std::move(key);
  const uint64_t now = WallMs();
  proof_.until_ms = std::min(own_not_after_ms, peer_not_after_ms);
  const uint64_t rest = proof_.until_ms > now ? proof_.until_ms - now : 0;
  proof_.fresh_until_ms = now + rest / 2;
  proof_.generation = generation;
  proofs_->Record(key_, proof_);
  stale_timer_ = loop_->After(UntilMs(proof_.fresh_until_ms), [this] { on_stale_(); });
  end_timer_ = loop_->After(std::min(UntilMs(proof_.until_ms), kLookMs), [this] { CheckEnd(); });
}

void TunnelLease::CheckEnd() {
  const uint64_t until = std::max(proof_.until_ms, proofs_->Find(key_).until_ms);
  const uint64_t left = UntilMs(until);
  if (left == 0) return on_end_();
  end_timer_ = loop_->After(std::min(left, kLookMs), [this] { CheckEnd(); });
}

void TunnelLease::Stop() {
  loop_->Cancel(&stale_timer_);
  loop_->Cancel(&end_timer_);
}

}  // namespace groundwire
