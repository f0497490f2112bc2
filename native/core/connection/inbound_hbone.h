// SPDX-License-Identifier: Apache-2.0
// The life of a connection that reaches a captured pod through a tunnel.
//
//   accepted_tunnel.h:
//   1. accept from the pod's HBONE listener        IDENTITY_UNAVAILABLE (no certificate: nothing can be said, reset),
//                                                  LIMIT_CONNECTIONS (too many tunnels: reset),
//                                                  DELIVERY_RETURNED (a delivery of our own: reset)
//   2. TLS with the pod's certificate, HTTP/2      TLS_HANDSHAKE_FAILED, TLS_UNEXPECTED_IDENTITY, TLS_TRUST_DOMAIN,
//                                                  TLS_TIMEOUT, LIMIT_CONNECTIONS (late, gave way to a newer handshake)
//   for each CONNECT stream:
//   3. method and authority                        400: HBONE_BAD_REQUEST, HBONE_WRONG_ADDRESS; 503: LIMIT_CONNECTIONS
//   4. verdict, with the peer's identity           401 or 503 by the error table
//   5. deliver in the pod's namespace              503: ILLEGAL_DESTINATION (own listener), CONNECT_*
//   6. 200, relay until both directions have ended PEER_RESET, POLICY_LATE_DENIED, CERTIFICATE_EXPIRED, HBONE_*, ...
//   7. Finish: flow row, one event
#pragma once
#include <cstdint>
#include <memory>

#include "connection/inbound_connection.h"
#include "hbone/hbone_request.h"
#include "http2/http2_session.h"
#include "io/kept_bytes.h"
#include "relay/relay.h"

namespace groundwire {

class AcceptedTunnel;

/// Takes what a request says of itself, cut to what a valid one can say.
void TakeRequest(const HboneRequest& request, ConnectionFacts* facts);

/// Steps 3 to 7.
class InboundHboneConnection final : public InboundConnection, public Http2StreamHandler {
 public:
  InboundHboneConnection(const ConnectionContext& context, const AcceptedTunnel& tunnel,
                         Http2Stream* stream);
  /// `refusal` ends it here.
  void Start(const HboneRequest& request, ErrorCode refusal);

  void OnDialled(ErrorCode code, UniqueFd fd) override;

  // Until the 200: what the peer sends ahead is kept, bounded by the stream's window.
  size_t ReadForStream(uint8_t*, size_t, bool*) override { return 0; }
  void OnResponse(uint16_t, const HeaderList&) override {}
  void OnStreamData(const uint8_t* data, size_t size) override;
  void OnStreamEnd() override { ahead_ended_ = true; }
  void OnStreamClosed(uint32_t h2_error, ErrorCode lost) override;

 protected:
  void Abort() override;
  void Refuse(ErrorCode code) override;

 private:
  ErrorCode ReadRequest(const HboneRequest& request);

  Http2Session* const session_;
  Http2Stream* stream_;
  KeptBytes ahead_;
  bool ahead_ended_ = false;
  std::unique_ptr<Relay> relay_;
};

}  // namespace groundwire
