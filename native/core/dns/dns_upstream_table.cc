// SPDX-License-Identifier: Apache-2.0
#include "dns/dns_upstream_table.h"

namespace groundwire {
namespace {

constexpr uint64_t kFirstBucketUs = 500;

size_t BucketOf(uint64_t duration_us) {
  size_t bucket = 0;
  while (bucket + 1 < DnsUpstreamRow::kBuckets && duration_us > kFirstBucketUs << bucket) ++bucket;
  return bucket;
}

}  // namespace

bool DnsUpstreamTable::CountAnswer(uint32_t label, uint64_t duration_us) {
  bool full = false;
  DnsUpstreamRow& row = At(label, &full);
  row.duration_us += duration_us;
  ++row.answered[BucketOf(duration_us)];
  return !full;
}

bool DnsUpstreamTable::CountFailure(uint32_t label) {
  bool full = false;
  ++At(label, &full).failed;
  return !full;
}

void DnsUpstreamTable::AddTo(DnsUpstreamTable* sum) const {
  for (const auto& [label, row] : rows_) {
    bool full = false;
    DnsUpstreamRow& total = sum->At(label, &full);
    total.failed += row.failed;
    total.duration_us += row.duration_us;
    for (size_t i = 0; i < row.answered.size(); ++i) total.answered[i] += row.answered[i];
  }
}

DnsUpstreamRow& DnsUpstreamTable::At(uint32_t label, bool* full) {
  const auto found = rows_.find(label);
  *full = found == rows_.end() && label != 0 && rows_.size() >= rows_max_;
  if (found != rows_.end()) return found->second;
  return rows_[*full ? 0 : label];
}

}  // namespace groundwire
