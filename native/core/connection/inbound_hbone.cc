// SPDX-License-Identifier: Apache-2.0
#include "connection/inbound_hbone.h"

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "base/detail_text.h"
#include "hbone/accepted_tunnel.h"
#include "hbone/hbone_request.h"
#include "relay/socket_end.h"
#include "relay/stream_end.h"

namespace groundwire {
namespace {

// A hostname of 253 characters (RFC 1035 2.3.4), a colon and a port of five.
constexpr size_t kAuthorityMax = 259;
// Version 00 of W3C Trace Context: 2 + 32 + 16 + 2 digits and three dashes.
constexpr size_t kTraceparentSize = 55;

}  // namespace

void TakeRequest(const HboneRequest& request, ConnectionFacts* facts) {
  // Headers may be 64 KiB; records of them would let a peer fill the queue of events.
  facts->hbone_authority = request.authority.substr(0, kAuthorityMax);
  if (request.traceparent.size() == kTraceparentSize) facts->traceparent = request.traceparent;
}

InboundHboneConnection::InboundHboneConnection(const ConnectionContext& context,
                                               const AcceptedTunnel& tunnel, Http2Stream* stream)
    : InboundConnection(context, tunnel.pod(), tunnel.source()),
      session_(tunnel.session()),
      stream_(stream),
      ahead_(AccountOf(*pod_)) {
  facts_.hop = msg::HopKind::kHbone;
  facts_.security = msg::Security::kMutualTls;
  facts_.source_identity = tunnel.peer();
  facts_.original_dst = tunnel.local();
  session_->SetHandler(stream_, this);
}

void InboundHboneConnection::Start(const HboneRequest& request, ErrorCode refusal) {
  TakeRequest(request, &facts_);
  service_hostname_ = request.service_hostname;
  if (refusal == ErrorCode::kNone) refusal = ReadRequest(request);
  if (refusal != ErrorCode::kNone) return Refuse(refusal);
  Decide();
}

ErrorCode InboundHboneConnection::ReadRequest(const HboneRequest& request) {
  std::optional<HboneAuthority> authority;
  if (request.authority.size() <= kAuthorityMax)
    authority = HboneAuthority::Parse(request.authority);
  if (request.method != "CONNECT" || !authority) {
    context_.thread.counters->Add(Counter::kHboneBadRequests);
    return ErrorCode::kHboneBadRequest;
  }
  if (authority->address) {
    // Under the client's address only its own family can be delivered to.
    if (!pod_->HasAddress(authority->address->ip) ||
        authority->address->family() != facts_.source.family()) {
      context_.thread.counters->Add(Counter::kHboneWrongAddresses);
      return ErrorCode::kHboneWrongAddress;
    }
    facts_.original_dst = *authority->address;
  } else {
    hostname_authority_ = request.authority;
    facts_.original_dst.port = authority->port;
  }
  return ErrorCode::kNone;
}

void InboundHboneConnection::OnDialled(ErrorCode code, UniqueFd fd) {
  dial_.reset();
  if (code != ErrorCode::kNone) return Refuse(code);
  MarkOpened();
  facts_.hbone_status = 200;
  const std::array<HeaderView, 2> headers = {{{":status", "200"}, {"baggage", verdict()->baggage}}};
  session_->Respond(stream_, std::span(headers).first(verdict()->baggage.empty() ? 1 : 2), true,
                    this);
  auto peer =
      std::make_unique<StreamEnd>(session_, std::exchange(stream_, nullptr), AccountOf(*pod_));
  StreamEnd* const told = peer.get();
  relay_ = std::make_unique<Relay>(context_.thread.loop, &bytes_, this);
  relay_->Start(std::move(peer),
                std::make_unique<SocketEnd>(context_.thread, AccountOf(*pod_), std::move(fd)));
  uint8_t* const buffer = context_.thread.scratch->arriving.get();
  while (!ahead_.empty() && !finished())
    told->OnStreamData(buffer, ahead_.Take(buffer, ThreadScratch::kBytes));
  if (ahead_ended_) told->OnStreamEnd();
}

void InboundHboneConnection::OnStreamData(const uint8_t* data, size_t size) {
  if (!finished() && !ahead_.Append(data, size)) Refuse(ErrorCode::kLimitMemory);
}

void InboundHboneConnection::OnStreamClosed(uint32_t, ErrorCode lost) {
  stream_ = nullptr;
  if (finished()) return;
  // The peer gave up before it had its answer. What it sent ahead of that was promised to nobody.
  if (lost != ErrorCode::kNone) facts_.detail = DetailText(session_->close_detail());
  End(lost != ErrorCode::kNone ? lost : ErrorCode::kPeerReset);
}

/// Before the 200: answers with the status of the error table.
void InboundHboneConnection::Refuse(ErrorCode code) {
  if (finished()) return;
  const uint16_t status = ConnectStatusOf(code) == 0 ? 503 : ConnectStatusOf(code);
  if (stream_ != nullptr) {
    session_->Refuse(std::exchange(stream_, nullptr), status);
    facts_.hbone_status = status;
  }
  End(code);
}

void InboundHboneConnection::Abort() {
  if (dial_) dial_->Cancel();
  if (relay_) relay_->Abort();
  if (stream_ != nullptr) session_->Reset(std::exchange(stream_, nullptr), NGHTTP2_CANCEL);
}

}  // namespace groundwire
