// SPDX-License-Identifier: Apache-2.0
// One CONNECT of an HBONE connection: what asked for it, who carries its bytes, how far it is.
#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>

#include "base/error_code.gen.h"
#include "hbone/hbone_request.h"

namespace groundwire {

/// Whether a session that ended so was ended by this engine, because a proof of identity is missing
/// or on a command: its streams end now, and nothing is tried again. What the peer or the network
/// broke off has delivered what it has delivered, and another session may serve.
inline bool IsEndedHere(ErrorCode lost) {
  return lost == ErrorCode::kCertificateExpired || lost == ErrorCode::kIdentityRemoved ||
         lost == ErrorCode::kDrained;
}

/// Whether a session that ended so before it was open had begun TLS, and that failed: not where
/// nobody was reached, nor where this engine ended it for a reason of its own.
inline bool IsHandshakeFailure(ErrorCode ended) {
  return ended == ErrorCode::kTlsHandshakeFailed || ended == ErrorCode::kTlsUnexpectedIdentity ||
         ended == ErrorCode::kTlsTrustDomain || ended == ErrorCode::kTlsTimeout ||
         ended == ErrorCode::kPeerReset;
}

/// The user of a stream. After OnStreamClosed, or after the user called Reset, the HboneStream is
/// gone.
class HboneStreamHandler {
 public:
  /// Up to `size` application bytes for the tunnel, straight into the frame. 0 and not `*end`:
  /// nothing now, Resume later.
  virtual size_t ReadForTunnel(uint8_t* buffer, size_t size, bool* end) = 0;
  /// Client only: the response's status.
  virtual void OnResponse(uint16_t status) = 0;
  /// Valid during the call. The user gives the window back with Consume once the application took
  /// the bytes.
  virtual void OnTunnelData(const uint8_t* data, size_t size) = 0;
  /// The peer has no more bytes (END_STREAM).
  virtual void OnTunnelEnd() = 0;
  /// `h2_error` is the peer's RST_STREAM code or 0; `lost` says why the whole session ended, or
  /// kNone.
  virtual void OnStreamClosed(uint32_t h2_error, ErrorCode lost) = 0;

 protected:
  ~HboneStreamHandler() = default;
};

struct HboneStream {
  int32_t id = 0;
  HboneStreamHandler* handler = nullptr;
  /// nghttp2 put the stream's DATA aside until Resume.
  bool deferred = false;
  bool answered = false;
  bool peer_ended = false;
  bool refused = false;
  uint16_t status = 0;
  /// Server, while headers arrive.
  std::unique_ptr<HboneRequest> request;
};

}  // namespace groundwire
