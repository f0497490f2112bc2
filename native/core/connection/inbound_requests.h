// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <string>

#include "connection/connection_context.h"
#include "hbone/accepted_tunnel.h"

namespace groundwire {

/// Makes a connection of each request that comes through an accepted tunnel, and a record of what
/// never became one: it belongs into the access log all the same.
class InboundRequests final : public AcceptedTunnelUser {
 public:
  explicit InboundRequests(const ConnectionContext& context) : context_(context) {}
  void OnRequest(const AcceptedTunnel& tunnel, Http2Stream* stream,
                 const HboneRequest& request) override;
  void OnRefusal(const AcceptedTunnel& tunnel, ErrorCode code, const std::string& detail,
                 const HboneRequest* request) override;

 private:
  const ConnectionContext& context_;
};

}  // namespace groundwire
