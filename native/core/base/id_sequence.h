// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>

namespace groundwire {

/// Ids of the connections, questions and DNS queries of one worker, unique in the engine: the worker
/// is in the lowest byte.
class IdSequence {
 public:
  explicit IdSequence(uint8_t worker) : worker_(worker) {}
  uint64_t Next() { return ++sequence_ << 8 | worker_; }
  uint8_t worker() const { return worker_; }
  static uint8_t WorkerOf(uint64_t id) { return static_cast<uint8_t>(id & 0xff); }

 private:
  const uint8_t worker_;
  uint64_t sequence_ = 0;
};

}  // namespace groundwire
