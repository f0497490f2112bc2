// SPDX-License-Identifier: Apache-2.0
#include "connection/inbound_requests.h"

#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "base/clock.h"
#include "base/detail_text.h"
#include "connection/inbound_hbone.h"

namespace groundwire {

void InboundRequests::OnRequest(const AcceptedTunnel& tunnel, Http2Stream* stream,
                                const HboneRequest& request) {
  // Before it is on the books, or it would take the last place from itself.
  const ErrorCode refusal = context_.books->Admit(*tunnel.pod());
  context_.books->Adopt(std::make_unique<InboundHboneConnection>(context_, tunnel, stream))
      ->Start(request, refusal);
}

void InboundRequests::OnRefusal(const AcceptedTunnel& tunnel, ErrorCode code,
                                const std::string& detail, const HboneRequest* request) {
  ConnectionFacts facts;
  facts.id = context_.thread.ids->Next();
  facts.direction = msg::Direction::kInbound;
  facts.pod = tunnel.pod()->id;
  facts.hop = msg::HopKind::kHbone;
  facts.security = msg::Security::kMutualTls;
  facts.source = tunnel.source();
  facts.original_dst = tunnel.local();
  if (request != nullptr) TakeRequest(*request, &facts);
  if (tunnel.established()) facts.source_identity = tunnel.peer();
  facts.destination_identity = tunnel.pod()->identity;
  facts.flow_label = context_.flows->LabelOf(*tunnel.pod());
  facts.peer_label = context_.flows->PeerLabelOf(tunnel.source().ip);
  facts.started_ms = WallMs();
  facts.detail = DetailText(detail);
  if (code == ErrorCode::kOutOfFiles) context_.thread.counters->Add(Counter::kOutOfFiles);
  ++context_.flows->RowOf({facts.direction, facts.flow_label, facts.peer_label, code}).failed;
  context_.thread.events->Push(std::move(facts).Close(code, {}, 0));
}

}  // namespace groundwire
