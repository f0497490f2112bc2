// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>

namespace groundwire {

/// Ids of the connections and queries of one worker, unique in the engine: the worker is in the
/// lowest byte.
class IdSequence {
 public:
  explicit IdSequence(uint8_t worker) : worker_(worker) {}
  uint64_t Next() { return ++sequence_ << 8 | worker_; }

 private:
  const uint8_t worker_;
  uint64_t sequence_ = 0;
};

}  // namespace groundwire
