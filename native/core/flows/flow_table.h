// SPDX-License-Identifier: Apache-2.0
// Cumulative traffic by labels; metrics are read from here and never depend on events.
#pragma once
#include <cstddef>
#include <cstdint>
#include <unordered_map>

#include "base/error_code.gen.h"
#include "port/messages.gen.h"

namespace groundwire {

struct FlowKey {
  msg::Direction direction{};
  uint32_t flow_label = 0;
  uint32_t peer_label = 0;
  ErrorCode code = ErrorCode::kNone;
  bool operator==(const FlowKey&) const = default;
};

struct FlowKeyHash {
  size_t operator()(const FlowKey& key) const;
};

struct FlowRow {
  uint64_t opened = 0;
  uint64_t closed = 0;
  uint64_t failed = 0;
  uint64_t bytes_sent = 0;
  uint64_t bytes_received = 0;
};

/// Belongs to one worker; the engine adds the workers' tables up.
class FlowTable {
 public:
  explicit FlowTable(size_t rows_max) : rows_max_(rows_max) {}
  /// The row of `key`. With the table full a new key gets the row of label 0, so that sums stay
  /// true.
  FlowRow& At(const FlowKey& key, bool* full);
  void AddTo(FlowTable* sum) const;
  const std::unordered_map<FlowKey, FlowRow, FlowKeyHash>& rows() const { return rows_; }

 private:
  const size_t rows_max_;
  std::unordered_map<FlowKey, FlowRow, FlowKeyHash> rows_;
};

}  // namespace groundwire
