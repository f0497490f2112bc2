// SPDX-License-Identifier: Apache-2.0
// What became of forwarded queries, by labels; metrics are read from here and never depend on
// events.
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <unordered_map>

namespace groundwire {

struct DnsUpstreamRow {
  /// Answers that took at most 500 us * 2^i; the last one holds those that took longer than the one
  /// before says.
  static constexpr size_t kBuckets = 15;

  uint64_t failed = 0;
  uint64_t duration_us = 0;  // of answers, added up
  std::array<uint64_t, kBuckets> answered{};
};

/// Belongs to one worker; the engine adds the workers' tables up.
class DnsUpstreamTable {
 public:
  explicit DnsUpstreamTable(size_t rows_max) : rows_max_(rows_max) {}
  /// Both say whether the label has a row: with the table full a new label is counted as label 0,
  /// so that sums stay true.
  bool CountAnswer(uint32_t label, uint64_t duration_us);
  bool CountFailure(uint32_t label);
  void AddTo(DnsUpstreamTable* sum) const;
  const std::unordered_map<uint32_t, DnsUpstreamRow>& rows() const { return rows_; }

 private:
  DnsUpstreamRow& At(uint32_t label, bool* full);

  const size_t rows_max_;
  std::unordered_map<uint32_t, DnsUpstreamRow> rows_;
};

}  // namespace groundwire
