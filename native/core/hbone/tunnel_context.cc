// SPDX-License-Identifier: Apache-2.0
#include "hbone/tunnel_context.h"

#include <algorithm>
#include <array>
#include <string_view>

namespace groundwire {

Http2Options MakeTunnelOptions(const msg::EngineOptions& options) {
  Http2Options http2;
  http2.counters = {
      .flooded = Counter::kTunnelsFlooded,
      .protocol_error = Counter::kTunnelsProtocolError,
      .ping_timeout = Counter::kTunnelsPingTimeout,
      .streams_refused = Counter::kHboneStreamsRefused,
      .headers_refused = Counter::kHboneHeadersRefused,
      .requests_malformed = Counter::kHboneBadRequests,
      .turns_cut = Counter::kTunnelTurnsCut,
      .floods = {Counter::kTunnelsFloodedResets, Counter::kTunnelsFloodedForcedResets,
                 Counter::kTunnelsFloodedEmptyData, Counter::kTunnelsFloodedWindowUpdates,
                 Counter::kTunnelsFloodedPings, Counter::kTunnelsFloodedSettings,
                 Counter::kTunnelsFloodedOtherFrames}};
  http2.stream_window_bytes = options.stream_window_bytes;
  http2.connection_window_bytes =
      std::max(options.connection_window_bytes, options.stream_window_bytes);
  http2.streams_used_max = options.streams_per_tunnel_max;
  http2.ping_interval_ms = options.ping_interval_ms;
  http2.ping_timeout_ms = options.ping_timeout_ms;
  return http2;
}

SecuredStreamOptions MakeSecuredOptions(const msg::EngineOptions& options) {
  static constexpr std::array<std::string_view, 1> kProtocols = {kAlpnHttp2};
  return {kProtocols, options.connect_timeout_ms, options.tls_timeout_ms};
}

bool IsHandshakeFailure(ErrorCode ended) {
  return ended == ErrorCode::kTlsHandshakeFailed || ended == ErrorCode::kTlsUnexpectedIdentity ||
         ended == ErrorCode::kTlsTrustDomain || ended == ErrorCode::kTlsTimeout ||
         ended == ErrorCode::kPeerReset;
}

}  // namespace groundwire
