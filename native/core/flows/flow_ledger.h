// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <unordered_map>
#include <vector>

#include "base/address.h"
#include "base/counters.h"
#include "capture/pod.h"
#include "flows/flow_table.h"
#include "port/messages.gen.h"

namespace groundwire {

/// What one worker counts of its connections, and the labels under which it does: of a pod, and of
/// whoever is at the other end, by address.
class FlowLedger {
 public:
  explicit FlowLedger(Counters* counters);
  /// Label 0 takes an address off.
  void SetPeers(const std::vector<msg::PeerLabel>& peers);
  FlowRow& RowOf(const FlowKey& key);
  /// 0: nobody told.
  uint32_t PeerLabelOf(const IpAddress& address) const;
  /// Of what happens to a pod before a verdict gives a label: that of its address.
  uint32_t LabelOf(const Pod& pod) const;
  void AddTo(FlowTable* sum) const { flows_.AddTo(sum); }

 private:
  Counters* const counters_;
  FlowTable flows_;
  std::unordered_map<IpAddress, uint32_t, IpAddressHash> peers_;
};

}  // namespace groundwire
