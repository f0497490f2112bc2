// SPDX-License-Identifier: Apache-2.0
#include "tls/proof_table.h"

#include <algorithm>

#include "base/clock.h"

namespace groundwire {

void ProofTable::Record(const Key& key, const Proof& proof) {
  const std::lock_guard lock(mutex_);
  Proof& known = proofs_[key];
  if (proof.until_ms >= known.until_ms) known = proof;
  if (proofs_.size() < prune_at_) return;
  // Expired proofs say nothing; dropping them when the table has doubled keeps the cost a constant
  // a proof.
  const uint64_t now = WallMs();
  std::erase_if(proofs_, [now](const auto& entry) { return entry.second.until_ms <= now; });
  prune_at_ = std::max<size_t>(1024, proofs_.size() * 2);
}

ProofTable::Proof ProofTable::Find(const Key& key) const {
  const std::lock_guard lock(mutex_);
  const auto found = proofs_.find(key);
  return found == proofs_.end() ? Proof{} : found->second;
}

}  // namespace groundwire
