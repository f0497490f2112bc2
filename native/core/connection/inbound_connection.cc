// SPDX-License-Identifier: Apache-2.0
#include "connection/inbound_connection.h"

#include <cstdint>
#include <utility>

namespace groundwire {

InboundConnection::InboundConnection(const ConnectionContext& context,
                                     std::shared_ptr<const Pod> pod, const SocketAddress& source)
    : Connection(context, msg::Direction::kInbound, std::move(pod), source) {
  facts_.destination_identity = pod_->identity;
  facts_.peer_label = context.flows->PeerLabelOf(source.ip);
}

void InboundConnection::Decide() {
  if (const InboundVerdict known = context_.verdicts->Find(Key())) return OnVerdict(known);
  const ErrorCode code =
      context_.verdicts->Ask(Key(), id(), [this](uint64_t q) { return Question(q); });
  if (code != ErrorCode::kNone) Refuse(code);
}

InboundKey InboundConnection::Key() const {
  return {pod_->id,         facts_.security,          facts_.source_identity,
          facts_.source.ip, facts_.original_dst.port, hostname_authority_};
}

msg::InboundQuestion InboundConnection::Question(uint64_t id) const {
  return {id,
          pod_->id,
          facts_.security,
          facts_.source_identity,
          facts_.source,
          facts_.original_dst,
          hostname_authority_};
}

void InboundConnection::OnVerdict(const InboundVerdict& verdict) {
  if (finished()) return;
  const auto code = static_cast<ErrorCode>(verdict->code);
  const bool first = verdict_ == nullptr;
  verdict_ = verdict;
  facts_.verdict = verdict->verdict;
  if (!first) return TakeLateVerdict(verdict->verdict, code);
  TakeLabel(verdict->flow_label);
  if (code != ErrorCode::kNone) return Refuse(code);
  Deliver(*pod_, {facts_.original_dst.ip,
                  DeliverPortOf(*verdict, facts_.original_dst.port, hostname_authority_)});
}

void InboundConnection::Recheck(const std::unordered_set<uint64_t>& verdicts) {
  if (!verdict_ || !verdicts.contains(verdict_->verdict)) return;
  context_.verdicts->Recheck(Key(), id(), [this](uint64_t q) { return Question(q); });
}

}  // namespace groundwire
