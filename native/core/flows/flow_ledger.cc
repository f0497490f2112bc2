// SPDX-License-Identifier: Apache-2.0
#include "flows/flow_ledger.h"

namespace groundwire {
namespace {

// A row is some 100 bytes; labels are interned sets of names, so this is far beyond a large mesh's
// pairs of workloads.
constexpr size_t kFlowRowsMax = 65536;
constexpr size_t kPeersMax = 1 << 20;

}  // namespace

FlowLedger::FlowLedger(Counters* counters) : counters_(counters), flows_(kFlowRowsMax) {}

void FlowLedger::SetPeers(const std::vector<msg::PeerLabel>& peers) {
  for (const msg::PeerLabel& peer : peers) {
    if (peer.label == 0) {
      peers_.erase(peer.address);
    } else if (peers_.size() < kPeersMax || peers_.contains(peer.address)) {
      peers_[peer.address] = peer.label;
    } else {
      counters_->Add(Counter::kPeersFull);
    }
  }
}

FlowRow& FlowLedger::RowOf(const FlowKey& key) {
  bool full = false;
  FlowRow& row = flows_.At(key, &full);
  if (full) counters_->Add(Counter::kFlowRowsFull);
  return row;
}

uint32_t FlowLedger::PeerLabelOf(const IpAddress& address) const {
  const auto found = peers_.find(address);
  return found == peers_.end() ? 0 : found->second;
}

uint32_t FlowLedger::LabelOf(const Pod& pod) const {
  return pod.addresses.empty() ? 0 : PeerLabelOf(pod.addresses.front());
}

}  // namespace groundwire
