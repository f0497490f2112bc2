// SPDX-License-Identifier: Apache-2.0
// Every bound, drop and refusal of the engine has a counter. Their names are given in
// src/telemetry/engine-counters.ts.
#pragma once
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/counters.gen.h"

namespace groundwire {

enum class Counter : size_t {
#define X(symbol, name) symbol,
  GROUNDWIRE_COUNTERS(X)
#undef X
      kCount,
};

inline constexpr size_t kCounterCount = static_cast<size_t>(Counter::kCount);
std::string_view NameOf(Counter counter);

/// One writer (a worker), any reader.
class Counters {
 public:
  void Add(Counter counter, uint64_t amount = 1) {
    std::atomic<uint64_t>& cell = cells_[static_cast<size_t>(counter)];
    // Not fetch_add: the one writer needs no locked instruction.
    cell.store(cell.load(std::memory_order_relaxed) + amount, std::memory_order_relaxed);
  }
  uint64_t Read(Counter counter) const {
    return cells_[static_cast<size_t>(counter)].load(std::memory_order_relaxed);
  }

 private:
  std::array<std::atomic<uint64_t>, kCounterCount> cells_{};
};

}  // namespace groundwire
