// SPDX-License-Identifier: Apache-2.0
// The life of a connection that reaches a captured pod without the mesh.
//
//   1. accept from the pod's plaintext listener    a delivery of our own: DELIVERY_RETURNED
//                                                  bound reached: LIMIT_CONNECTIONS
//   2. original destination (getsockname)
//   3. verdict, with no identity                   VERDICT_QUEUE_FULL, VERDICT_TIMEOUT, or the verdict's refusal
//   4. deliver in the pod's namespace              own listener: ILLEGAL_DESTINATION; CONNECT_*
//   5. relay until both directions have ended      PEER_RESET, POLICY_LATE_DENIED, DRAINED, ...
//   6. Finish: flow row, one event
//
// A refusal before 5 resets the connection: to its client the port looks closed.
#pragma once
#include <memory>

#include "connection/inbound_connection.h"
#include "relay/relay.h"

namespace groundwire {

/// Steps 1 and 2. Takes the accepted socket; `refusal`: what is known against it already.
void AcceptInboundPlaintext(const ConnectionContext& context, const std::shared_ptr<const Pod>& pod,
                            UniqueFd fd, const SocketAddress& source, ErrorCode refusal);

class InboundPlaintextConnection final : public InboundConnection {
 public:
  InboundPlaintextConnection(const ConnectionContext& context, std::shared_ptr<const Pod> pod,
                             UniqueFd downstream, const SocketAddress& source,
                             const SocketAddress& original_dst);
  /// From step 3 on; `refusal` ends it here.
  void Start(ErrorCode refusal);

  void OnDialled(ErrorCode code, UniqueFd fd) override;

 protected:
  void Abort() override;

 private:
  UniqueFd downstream_;
  std::unique_ptr<Relay> relay_;
};

}  // namespace groundwire
