// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstddef>
#include <cstdint>
#include <optional>
#include <unordered_map>
#include <utility>

#include "verdicts/pod_bounded_map.h"
#include "verdicts/verdict.h"

namespace groundwire {

/// Answers of TypeScript of one kind, kept for every connection they fit. One a worker, so a lookup
/// takes no lock.
template <typename Kind>
class VerdictCache {
 public:
  using Key = typename Kind::Key;

  explicit VerdictCache(size_t entries_max) : kept_(entries_max) {}

  /// Tries each mask that is in use for the pod: usually one or two. nullptr: none that holds.
  const KeptVerdict<Kind>* Find(const Key& key, uint64_t now_us) {
    const auto masks = masks_.find(key.pod);
    if (masks == masks_.end()) return nullptr;
    for (uint8_t mask = 0; mask < Kind::kMasks; ++mask) {
      if ((masks->second >> mask & 1) == 0) continue;
      const auto& masked = Kind::Masked(key, mask);
      // An answer that consulted few fields holds whatever the others are; but the same blank key
      // under another mask would be another answer, so the mask is compared too.
      const Entry* found = kept_.Find(masked);
      if (found == nullptr || Kind::MaskOf(*found->value.verdict) != mask) continue;
      if (found->value.HoldsAt(now_us)) return &found->value;
      Erase(*found);
    }
    return nullptr;
  }
  /// The number of entries that had to be forgotten for it: 0 or 1.
  size_t Put(const Key& key, KeptVerdict<Kind> kept) {
    const uint8_t mask = Kind::MaskOf(*kept.verdict);
    masks_[key.pod] |= uint32_t{1} << mask;
    const Key masked = Kind::Masked(key, mask);
    if (const Entry* before = kept_.Find(masked)) Erase(*before);
    const uint64_t verdict = kept.verdict->verdict;
    std::optional<Entry> evicted;
    const Entry& entry = kept_.Put(masked, std::move(kept), &evicted);
    if (evicted) entries_.erase(evicted->value.verdict->verdict);
    entries_.insert_or_assign(verdict, &entry);
    return evicted ? 1 : 0;
  }
  /// Whether it was here.
  bool Forget(uint64_t verdict) {
    const auto found = entries_.find(verdict);
    if (found == entries_.end()) return false;
    Erase(*found->second);
    return true;
  }
  void ForgetPod(uint32_t pod) {
    for (const Entry& entry : kept_.TakePod(pod)) entries_.erase(entry.value.verdict->verdict);
    masks_.erase(pod);
  }
  size_t size() const { return kept_.size(); }

 private:
  struct KeyHash {
    size_t operator()(const Key& key) const { return Kind::Hash(key); }
  };

  using Kept = PodBoundedMap<Key, KeptVerdict<Kind>, KeyHash>;
  using Entry = typename Kept::Entry;

  void Erase(const Entry& entry) {
    entries_.erase(entry.value.verdict->verdict);
    kept_.Erase(entry.key);
  }

  Kept kept_;
  /// By verdict, each of which is the answer to one question.
  std::unordered_map<uint64_t, const Entry*> entries_;
  /// Bit m: some answer for the pod had the mask m.
  std::unordered_map<uint32_t, uint32_t> masks_;
  static_assert(Kind::kMasks <= 32);
};

}  // namespace groundwire
