// SPDX-License-Identifier: Apache-2.0
// The life of a connection that a captured pod opens.
//
//   1. accept from the pod's outbound listener     bound reached: LIMIT_CONNECTIONS
//   2. source address                              not the pod's own: FORGED_SOURCE
//      original destination (getsockname)          loopback or own listener: ILLEGAL_DESTINATION
//   3. verdict, from the cache or by a question    VERDICT_QUEUE_FULL, VERDICT_TIMEOUT, or the verdict's refusal
//   4. one of the verdict's choices, by weight
//   5. hbone: a tunnel of the pool                 IDENTITY_UNAVAILABLE, CONNECT_*, TLS_*, HBONE_*, PEER_RESET
//             CONNECT, 200                         HBONE_REFUSED, HBONE_RESPONSE_TIMEOUT (also when the peer takes no
//                                                  streams); a stale tunnel: once again from 5
//      handoff: the destination pod's own verdict  its refusal, UNKNOWN_DESTINATION_WORKLOAD
//               deliver in the pod's namespace     own listener: ILLEGAL_DESTINATION; CONNECT_*
//      passthrough: dial from the pod's namespace  CONNECT_*
//   6. relay until both directions have ended      PEER_RESET, POLICY_LATE_DENIED, CERTIFICATE_EXPIRED, DRAINED, ...
//   7. Finish: flow row (handoff: one for each side), one event
#pragma once
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "connection/connection.h"
#include "hbone/tunnel_pool.h"
#include "relay/relay.h"

namespace groundwire {

/// Steps 1 and 2. Takes the accepted socket.
void AcceptOutbound(const ConnectionContext& context, const std::shared_ptr<const Pod>& pod,
                    UniqueFd fd, const SocketAddress& source);

class OutboundConnection final : public Connection,
                                 public VerdictUser<OutboundKind>,
                                 public VerdictUser<InboundKind>,
                                 public TunnelUser,
                                 public Http2StreamHandler {
 public:
  OutboundConnection(const ConnectionContext& context, std::shared_ptr<const Pod> pod, UniqueFd app,
                     const SocketAddress& source, const SocketAddress& original_dst);
  ~OutboundConnection() override;

  /// From step 3 on; `refusal` ends it here.
  void Start(ErrorCode refusal);

  void Describe(msg::OutboundQuestion* question) const override;
  void OnVerdict(const OutboundVerdict& verdict) override;
  void OnLateVerdict(const OutboundVerdict& verdict) override;
  // Of a handoff: what the destination pod says.
  void Describe(msg::InboundQuestion* question) const override;
  void OnVerdict(const InboundVerdict& verdict) override;
  void OnLateVerdict(const InboundVerdict& verdict) override;
  void OnNoVerdict(ErrorCode code) override { Refuse(code); }

  void OnTunnel(Http2Session* session, const std::string& peer, bool reused) override;
  void OnNoTunnel(ErrorCode code, const std::string& detail) override;
  void OnDialled(ErrorCode code, UniqueFd fd) override;

  // While waiting for the CONNECT's response; the relay takes over with the 200.
  size_t ReadForStream(uint8_t*, size_t, bool*) override { return 0; }
  void OnResponse(uint16_t status, const HeaderList&) override;
  void OnStreamData(const uint8_t*, size_t) override {}
  void OnStreamEnd() override {}
  void OnStreamClosed(uint32_t h2_error, ErrorCode lost) override;

 protected:
  void Abort() override;
  void ReleaseVerdicts() override;

 private:
  /// kVerdict → kTunnel → kResponse → kRelay, or kVerdict → kInboundVerdict → kDial → kRelay, or
  /// kVerdict → kDial → kRelay.
  enum class State : uint8_t { kVerdict, kInboundVerdict, kTunnel, kResponse, kDial, kRelay };

  void TakeChoice();
  void RequestTunnel();
  /// `last`: there is no more time for a peer that has the CONNECT.
  void OnNoResponse(bool last);
  void AskDestination();
  void Passthrough();
  void StartRelay(std::unique_ptr<RelayEnd> destination);

  State state_ = State::kVerdict;
  bool retried_ = false;
  bool reused_tunnel_ = false;
  UniqueFd app_;
  VerdictHold<OutboundKind> verdict_;
  VerdictHold<InboundKind> destination_verdict_;
  OutboundVerdict chosen_from_;                // the first one, whatever verdict it lives by later
  const msg::AnswerChoice* choice_ = nullptr;  // into chosen_from_
  Http2Session* session_ = nullptr;
  Http2Stream* stream_ = nullptr;
  EventLoop::TimerId response_deadline_{};
  std::unique_ptr<Relay> relay_;
};

}  // namespace groundwire
