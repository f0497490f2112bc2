// SPDX-License-Identifier: Apache-2.0
#include "flows/flow_table.h"

namespace groundwire {

size_t FlowKeyHash::operator()(const FlowKey& key) const {
  const uint64_t labels = static_cast<uint64_t>(key.flow_label) << 32 | key.peer_label;
  const uint64_t rest = static_cast<uint64_t>(key.code) << 1 | static_cast<uint64_t>(key.direction);
  return static_cast<size_t>((labels ^ rest * 0x9e3779b97f4a7c15ULL) * 0xff51afd7ed558ccdULL >> 7);
}

FlowRow& FlowTable::At(const FlowKey& key, bool* full) {
  const auto found = rows_.find(key);
  *full = found == rows_.end() && rows_.size() >= rows_max_;
  if (found != rows_.end()) return found->second;
  // A row of label 0 for each direction and code: at most a few dozen beyond the bound.
  return rows_[*full ? FlowKey{key.direction, 0, 0, key.code} : key];
}

void FlowTable::AddTo(FlowTable* sum) const {
  for (const auto& [key, row] : rows_) {
    bool full = false;
    FlowRow& total = sum->At(key, &full);
    total.opened += row.opened;
    total.closed += row.closed;
    total.failed += row.failed;
    total.bytes_sent += row.bytes_sent;
    total.bytes_received += row.bytes_received;
  }
}

}  // namespace groundwire
