// SPDX-License-Identifier: Apache-2.0
#include "connection/inbound_connection.h"

#include <cstdint>
#include <utility>

namespace groundwire {

InboundConnection::InboundConnection(const ConnectionContext& context,
                                     std::shared_ptr<const Pod> pod, const SocketAddress& source)
    : Connection(context, msg::Direction::kInbound, std::move(pod), source),
      verdict_(&context.verdicts->of<InboundKind>(), this) {
  facts_.destination_identity = pod_->identity;
  facts_.peer_label = context.flows->PeerLabelOf(source.ip);
}

void InboundConnection::Describe(msg::InboundQuestion* question) const {
  question->pod = pod_->id;
  question->security = facts_.security;
  question->identity = facts_.source_identity;
  question->source = facts_.source;
  question->destination = facts_.original_dst;
  question->authority = hostname_authority_;
  question->service = service_hostname_;
}

void InboundConnection::OnVerdict(const InboundVerdict& verdict) {
  const auto code = static_cast<ErrorCode>(verdict->code);
  facts_.verdict = verdict->verdict;
  TakeLabel(verdict->flow_label);
  if (code == ErrorCode::kNone || IsPolicyDenial(code)) CountOpened();
  if (code != ErrorCode::kNone) return Refuse(code);
  Deliver(*pod_, {facts_.original_dst.ip,
                  DeliverPortOf(*verdict, facts_.original_dst.port, hostname_authority_)});
}

void InboundConnection::OnLateVerdict(const InboundVerdict& verdict) {
  facts_.verdict = verdict->verdict;
  TakeLateVerdict(verdict->verdict, static_cast<ErrorCode>(verdict->code));
}

}  // namespace groundwire
