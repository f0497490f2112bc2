// SPDX-License-Identifier: Apache-2.0
#include "connection/inbound_requests.h"

#include <memory>
#include <utility>

#include "base/clock.h"
#include "base/detail_text.h"
#include "connection/inbound_hbone.h"

namespace groundwire {

void InboundRequests::OnRequest(const InboundTunnel& tunnel, HboneStream* stream,
                                const HboneRequest& request) {
  // Before it is on the books, or it would take the last place from itself.
  const ErrorCode refusal = context_.books->Admit(*tunnel.pod());
  context_.books->Adopt(std::make_unique<InboundHboneConnection>(context_, tunnel, stream))
      ->Start(request, refusal);
}

void InboundRequests::OnRefusal(const InboundTunnel& tunnel, ErrorCode code,
                                const std::string& detail, const HboneRequest* request) {
  msg::ConnectionClosed record;
  record.id = context_.thread.ids->Next();
  record.direction = msg::Direction::kInbound;
  record.pod = tunnel.pod()->id;
  record.hop = msg::HopKind::kHbone;
  record.security = msg::Security::kMutualTls;
  record.code = static_cast<uint16_t>(code);
  record.source = tunnel.source();
  record.original_dst = tunnel.local();
  if (request != nullptr) DescribeRequest(*request, &record);
  if (tunnel.established()) record.source_identity = tunnel.peer();
  record.destination_identity = tunnel.pod()->identity;
  record.peer_label = context_.flows->PeerLabelOf(tunnel.source().ip);
  record.started_ms = WallMs();
  record.detail = DetailText(detail);
  if (code == ErrorCode::kOutOfFiles) context_.thread.counters->Add(Counter::kOutOfFiles);
  record.flow_label = context_.flows->LabelOf(*tunnel.pod());
  ++context_.flows->RowOf({record.direction, record.flow_label, record.peer_label, code}).failed;
  context_.thread.events->Push(std::move(record));
}

}  // namespace groundwire
