// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>

namespace groundwire {

/// An answer of TypeScript, shared by whoever lives by it.
template <typename Kind>
using Verdict = std::shared_ptr<const typename Kind::Answer>;

/// How long one holds.
template <typename Kind>
struct KeptVerdict {
  Verdict<Kind> verdict;
  uint64_t until_us = 0;  // 0: until it is taken back

  bool HoldsAt(uint64_t now_us) const { return until_us == 0 || now_us < until_us; }
};

inline size_t MixHash(size_t hash, size_t value) { return (hash ^ value) * 0x9e3779b97f4a7c15ULL; }

}  // namespace groundwire
