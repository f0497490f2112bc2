// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <mutex>
#include <optional>
#include <unordered_map>
#include <variant>

#include "verdicts/verdict_cache.h"

namespace groundwire {

using VerdictKey = std::variant<OutboundKey, InboundKey>;

/// Questions on their way: what an answer, which names only its question, is the answer to. Shared,
/// because an answer goes to every worker's cache in the order in which TypeScript gave it: going
/// through the asking worker first, it could overtake its own invalidation in another worker.
class QuestionTable {
 public:
  /// The id carries the worker in its lowest byte.
  uint64_t Add(uint8_t worker, VerdictKey key);
  std::optional<VerdictKey> Take(uint64_t question);
  static uint8_t WorkerOf(uint64_t question) { return static_cast<uint8_t>(question & 0xff); }

 private:
  std::mutex mutex_;
  uint64_t sequence_ = 0;
  std::unordered_map<uint64_t, VerdictKey> questions_;
};

}  // namespace groundwire
